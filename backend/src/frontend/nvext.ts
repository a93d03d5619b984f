import type { IncomingHttpHeaders } from 'node:http';
import type { RequestRecord } from '../protocol/index.ts';
import { ApiError } from './apiError.ts';
import type { Dispatch, WorkerPin } from './dispatch.ts';
import type { ChatRequest } from './requestSchema.ts';
import type { GenerationUsage } from './textGeneration.ts';

type Nvext = ChatRequest['nvext'];

/** `annotations: ["query_instance_id"]`: say which worker it would be, run nothing. */
export function wantsQueryOnly(nvext: Nvext): boolean {
  return nvext?.annotations?.includes('query_instance_id') ?? false;
}

/** `agent_hints`: where the request stands in the router's queue. A negative priority is none. */
export function priorityOf(nvext: Nvext): Dispatch['priority'] {
  const { priority, strict_priority: strictPriority } = nvext?.agent_hints ?? {};
  if (priority === undefined && strictPriority === undefined) return undefined;
  return { ...(priority === undefined ? {} : { priorityJump: Math.max(priority, 0) }), ...(strictPriority === undefined ? {} : { strictPriority }) };
}

/** The one worker that may answer: header `x-worker-instance-id` (with `x-dp-rank`), else `nvext.decode_worker_id` or `nvext.backend_instance_id`. */
export function pinOf(headers: IncomingHttpHeaders, nvext: Nvext): WorkerPin | undefined {
  const header = read(headers, 'x-worker-instance-id') ?? read(headers, 'x-dynamo-worker-instance-id');
  const rank = read(headers, 'x-dp-rank') ?? read(headers, 'x-dynamo-dp-rank');
  return pin(header ?? nvext?.decode_worker_id ?? nvext?.backend_instance_id, rank);
}

/** The one worker that may compute the prompt: header `x-prefill-instance-id` (with `x-prefill-dp-rank`), else `nvext.prefill_worker_id`. */
export function prefillPinOf(headers: IncomingHttpHeaders, nvext: Nvext): WorkerPin | undefined {
  const header = read(headers, 'x-prefill-instance-id') ?? read(headers, 'x-dynamo-prefill-instance-id');
  const rank = read(headers, 'x-prefill-dp-rank') ?? read(headers, 'x-dynamo-prefill-dp-rank');
  return pin(header ?? nvext?.prefill_worker_id, rank);
}

export interface AnsweringWorker {
  worker_id: string;
  dp_rank?: number;
  pod?: string;
}

/** Who computed the prompt and who the answer, as the record says. Without remote prefill one worker did both. */
export function workersOf({ path, prefill, decode }: RequestRecord): { prefill: AnsweringWorker; decode: AnsweringWorker } | undefined {
  const last = decode.at(-1);
  return last === undefined ? undefined : { prefill: path === 'disaggregated' && prefill !== undefined ? prefill : last, decode: last };
}

/** The answer's `nvext.worker_id`. */
export function workerIds({ prefill, decode }: { prefill: AnsweringWorker; decode: AnsweringWorker }): Record<string, unknown> {
  return {
    prefill_worker_id: prefill.worker_id,
    prefill_dp_rank: prefill.dp_rank ?? 0,
    decode_worker_id: decode.worker_id,
    decode_dp_rank: decode.dp_rank ?? 0,
    ...(prefill.worker_id === decode.worker_id || prefill.pod === undefined ? {} : { prefill_pod: prefill.pod }),
    ...(decode.pod === undefined ? {} : { pod: decode.pod }),
  };
}

/** The answer's `nvext` with the fields that were asked for. */
export function nvextAnswer(fields: readonly string[] | undefined, record: RequestRecord, usage: GenerationUsage): Record<string, unknown> | undefined {
  if (fields === undefined || fields.length === 0) return undefined;
  const workers = workersOf(record);
  const remote = record.path === 'disaggregated' ? record.prefill : undefined;
  const prefillUs = (remote?.prompt ?? usage.account)?.prefill_us;
  return {
    ...(fields.includes('worker_id') && workers !== undefined ? { worker_id: workerIds(workers) } : {}),
    ...(fields.includes('timing')
      ? {
          timing: {
            ttft_ms: usage.ttftMs ?? null,
            itl_ms: usage.itlMs ?? null,
            prefill_ms: prefillUs === undefined ? null : prefillUs / 1000,
            ...(record.transfer === undefined ? {} : { kv_transfer_ms: record.transfer.transfer_us / 1000 }),
          },
        }
      : {}),
    ...(fields.includes('request_record') ? { request_record: record } : {}),
  };
}

function pin(id: string | number | undefined, rank: string | undefined): WorkerPin | undefined {
  return id === undefined ? undefined : { workerId: BigInt(id), ...(rank === undefined ? {} : { dpRank: Number(rank) }) };
}

function read(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  if (value === undefined || Array.isArray(value)) return undefined;
  if (!/^\d{1,20}$/.test(value)) throw new ApiError(400, `Validation: ${name} must be a decimal number`, { param: name });
  return value;
}
