import type { ConditionalDecision, EngineOutput, MigrationRecord, RequestCause, RequestRecord, RoutingDecision, ServingPath } from '../protocol/index.ts';

export interface RequestTrackerOptions {
  requestId: string;
  model: string;
  promptTokens: number;
  /** Of the whole request. */
  span?: { traceId: string; spanId: string };
  /** `performance.now()` of the arrival. */
  beganAt?: number;
  /** Called when it is known which way the request goes, and when it ended. */
  onChange?: (record: RequestRecord) => void;
}

/** Writes the record of one request while it is served. */
export class RequestTracker {
  readonly record: RequestRecord;
  /** `performance.now()` of the arrival. */
  readonly beganAt: number;
  readonly #onChange: ((record: RequestRecord) => void) | undefined;
  #prefillAt = 0;

  constructor({ requestId, model, promptTokens, span, beganAt = performance.now(), onChange }: RequestTrackerOptions) {
    this.beganAt = beganAt;
    this.#onChange = onChange;
    this.record = {
      request_id: requestId,
      model,
      time: new Date(Date.now() - (performance.now() - beganAt)).toISOString(),
      ...(span === undefined ? {} : { trace_id: span.traceId, span_id: span.spanId }),
      path: 'aggregated',
      reason: 'not decided yet',
      decode: [],
      migrations: [],
      prompt_tokens: promptTokens,
      output_tokens: 0,
      status: 'running',
    };
  }

  /** Which way the request goes; the last word counts. */
  takes(path: ServingPath, reason: string, cause?: RequestCause): void {
    this.record.path = path;
    this.record.reason = reason;
    if (cause !== undefined) this.record.cause = cause;
    this.#onChange?.(this.record);
  }

  conditional(decision: ConditionalDecision): void {
    this.record.conditional = decision;
  }

  prefillStarts({ chosen }: RoutingDecision): void {
    this.#prefillAt = performance.now();
    this.record.prefill = { ...placeOf(chosen), overlap_blocks: chosen.overlap_blocks };
  }

  prefillEnds(output: EngineOutput): void {
    const { prefill } = this.record;
    if (prefill === undefined) return;
    if (output.prompt !== undefined) prefill.prompt = output.prompt;
    prefill.duration_ms = milliseconds(this.#prefillAt);
  }

  decodeStarts({ chosen, block_size }: RoutingDecision): void {
    this.record.decode.push({ ...placeOf(chosen), overlap_blocks: chosen.overlap_blocks, output_tokens: 0 });
    const { conditional } = this.record;
    if (conditional?.policy !== 'always_remote') return;
    // This policy does not look at the decode worker first; what it has is known only now.
    conditional.decode_cached_tokens = Math.min(chosen.overlap_blocks * block_size, conditional.isl_tokens);
    conditional.effective_isl_tokens = conditional.isl_tokens - conditional.decode_cached_tokens;
  }

  decodeGives(output: EngineOutput): void {
    const { record } = this;
    const decode = record.decode.at(-1);
    if (decode === undefined) return;
    if (output.prompt !== undefined) decode.prompt = output.prompt;
    if (output.kv_transfer !== undefined) record.transfer = output.kv_transfer;
    const count = output.token_ids.length;
    if (count > 0 && record.output_tokens === 0) record.ttft_ms = milliseconds(this.beganAt);
    decode.output_tokens += count;
    record.output_tokens += count;
    if (output.finish_reason !== undefined) record.finish_reason = output.finish_reason;
  }

  migrates(migration: MigrationRecord): void {
    this.record.migrations.push(migration);
  }

  /** The first end counts. */
  ends(status: 'ok' | 'error' | 'cancelled', cause?: RequestCause): void {
    const { record } = this;
    if (record.status !== 'running') return;
    record.status = status;
    record.duration_ms = milliseconds(this.beganAt);
    if (status === 'error') {
      record.path = 'error';
      if (cause !== undefined) {
        record.cause = cause;
        record.reason = cause.message;
      }
    }
    this.#onChange?.(record);
  }
}

function placeOf({ worker_id, dp_rank, pod }: RoutingDecision['chosen']): { worker_id: string; dp_rank: number; pod?: string } {
  return { worker_id, dp_rank, ...(pod === undefined ? {} : { pod }) };
}

function milliseconds(since: number): number {
  return Math.round((performance.now() - since) * 1000) / 1000;
}
