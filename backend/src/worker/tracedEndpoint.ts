import { spanKinds, type TraceSpan, type Tracing } from '../observability/index.ts';
import type { EngineOutput, KvTransferAccount, PromptAccount } from '../protocol/index.ts';
import type { RequestHandler } from '../runtime/index.ts';

export interface TracedEndpointOptions {
  tracing: Tracing;
  component: string;
  endpoint: string;
}

/**
 * Traces requests that come with a `traceparent`: queue, KV transfer, prefill and decode of this worker under the caller's span. The spans go out with the
 * last output too, so that the caller can show the whole trace without a collector.
 */
export function tracedEndpoint(handler: RequestHandler, { tracing, component, endpoint }: TracedEndpointOptions): RequestHandler {
  return async function* (payload, context) {
    const traceparent = (payload as { traceparent?: unknown } | null)?.traceparent;
    if (typeof traceparent !== 'string') return yield* handler(payload, context);
    const arrivedAt = performance.now();
    const span = tracing.start('handle_payload', {
      traceparent,
      kind: spanKinds.SERVER,
      attributes: { component, endpoint, request_id: context.requestId },
      startedAt: arrivedAt,
    });
    let decode: TraceSpan | undefined;
    let traced = false;
    let tokens = 0;
    try {
      for await (const item of handler(payload, context)) {
        const output = item as EngineOutput;
        if (output.prompt !== undefined && !traced) {
          traced = true;
          tracePrompt(span, arrivedAt, output.prompt, output.kv_transfer);
          // With one token the answer ends with its prompt, as a prefill worker's does.
          if (output.finish_reason === undefined) decode = span.child('engine.decode');
        }
        tokens += output.token_ids.length;
        if (output.finish_reason === undefined) {
          yield output;
          continue;
        }
        span.set({ output_tokens: tokens, finish_reason: output.finish_reason });
        decode?.end();
        span.end();
        yield { ...output, spans: tracing.take(span) };
      }
    } catch (error) {
      decode?.end({ error });
      span.end({ error });
      throw error;
    } finally {
      decode?.end();
      span.end();
      // Of an answer that was not read to its end: exported, and of no use to anybody here.
      tracing.take(span);
    }
  };
}

/** What the engine measured until its first token, as spans. */
function tracePrompt(span: TraceSpan, arrivedAt: number, prompt: PromptAccount, transfer: KvTransferAccount | undefined): void {
  const now = performance.now();
  // The wait for a place in the batch, or for blocks to read into.
  const waitedUs = transfer?.wait_us ?? prompt.queue_us;
  span.child('engine.queue', { startedAt: arrivedAt }).end({ at: arrivedAt + waitedUs / 1000 });
  if (transfer !== undefined) traceTransfer(span, arrivedAt + waitedUs / 1000, transfer);
  const { prompt_tokens, cached_tokens, transferred_tokens, computed_tokens } = prompt;
  const attributes = { prompt_tokens, cached_tokens, transferred_tokens, computed_tokens };
  span.child('engine.prefill', { startedAt: now - prompt.prefill_us / 1000, attributes }).end({ at: now });
}

function traceTransfer(span: TraceSpan, startedAt: number, transfer: KvTransferAccount): void {
  const { status, transport, blocks, bytes, tokens, retries, resumed, transfer_us, error, timeline = [] } = transfer;
  const read = span.child('kv_transfer', { startedAt, attributes: { status, transport, blocks, bytes, tokens, retries, resumed } });
  for (const { step, at_us } of timeline) read.event(step, {}, startedAt + at_us / 1000);
  read.end({ at: startedAt + transfer_us / 1000, ...(error === undefined ? {} : { error: `${error.code}: ${error.message}` }) });
}
