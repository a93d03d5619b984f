import type { IncomingHttpHeaders } from 'node:http';
import type { RoutingDecision } from '../protocol/index.ts';
import { ApiError } from './apiError.ts';
import type { ChatRequest } from './requestSchema.ts';
import type { GenerationUsage } from './textGeneration.ts';

type Nvext = ChatRequest['nvext'];

/** `annotations: ["query_instance_id"]`: say which worker it would be, run nothing. */
export function wantsQueryOnly(nvext: Nvext): boolean {
  return nvext?.annotations?.includes('query_instance_id') ?? false;
}

/** The one worker that may answer: header `x-worker-instance-id` (with `x-dp-rank`), else `nvext.backend_instance_id`. */
export function pinOf(headers: IncomingHttpHeaders, nvext: Nvext): { workerId: bigint; dpRank?: number } | undefined {
  const header = read(headers, 'x-worker-instance-id') ?? read(headers, 'x-dynamo-worker-instance-id');
  const rank = read(headers, 'x-dp-rank') ?? read(headers, 'x-dynamo-dp-rank');
  const id = header ?? nvext?.backend_instance_id;
  if (id === undefined) return undefined;
  return { workerId: BigInt(id), ...(rank === undefined ? {} : { dpRank: Number(rank) }) };
}

/** The answer's `nvext` with the fields that were asked for. */
export function nvextAnswer(
  fields: readonly string[] | undefined,
  decision: RoutingDecision | undefined,
  usage?: GenerationUsage,
): Record<string, unknown> | undefined {
  if (fields === undefined || fields.length === 0) return undefined;
  const answer: Record<string, unknown> = {};
  if (fields.includes('worker_id') && decision !== undefined) {
    const { worker_id, dp_rank, pod } = decision.chosen;
    answer['worker_id'] = {
      prefill_worker_id: worker_id,
      prefill_dp_rank: dp_rank,
      decode_worker_id: worker_id,
      decode_dp_rank: dp_rank,
      ...(pod === undefined ? {} : { pod }),
    };
  }
  if (fields.includes('timing') && usage !== undefined) {
    answer['timing'] = {
      ttft_ms: usage.ttftMs ?? null,
      itl_ms: usage.itlMs ?? null,
      prefill_ms: usage.account === undefined ? null : usage.account.prefill_us / 1000,
    };
  }
  return answer;
}

function read(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  if (value === undefined || Array.isArray(value)) return undefined;
  if (!/^\d{1,20}$/.test(value)) throw new ApiError(400, `Validation: ${name} must be a decimal number`, { param: name });
  return value;
}
