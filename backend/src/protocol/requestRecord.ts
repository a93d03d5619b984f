import type { KvTransferAccount } from './disaggregation.ts';
import type { PromptAccount } from './tokens.ts';

/** Which way a request was served. */
export type ServingPath = 'aggregated' | 'disaggregated' | 'local_prefill' | 'fallback' | 'error';

/** What a frontend knows about one request, from arrival to last token. JSON-safe: worker ids are decimal strings. */
export interface RequestRecord {
  request_id: string;
  model: string;
  /** RFC 3339, arrival. */
  time: string;
  /** W3C trace id, 32 hex digits: the same in every process that worked on the request. */
  trace_id?: string;
  /** 16 hex digits: the frontend's span, under which all others of this request are. */
  span_id?: string;
  path: ServingPath;
  /** In words: why this path. */
  reason: string;
  /** On `fallback` and `error`: what went wrong, and on which plane. */
  cause?: RequestCause;
  /** Absent where there are no prefill workers. */
  conditional?: ConditionalDecision;
  prefill?: {
    worker_id: string;
    dp_rank?: number;
    pod?: string;
    overlap_blocks: number;
    prompt?: PromptAccount;
    /** Milliseconds from dispatch to the prefill worker's answer. */
    duration_ms?: number;
  };
  /** In order; more than one after migration. */
  decode: DecodeRecord[];
  transfer?: KvTransferAccount;
  migrations: MigrationRecord[];
  prompt_tokens: number;
  output_tokens: number;
  status: 'running' | 'ok' | 'error' | 'cancelled';
  finish_reason?: string;
  /** Milliseconds since arrival. */
  ttft_ms?: number;
  duration_ms?: number;
}

/** The plane on which a failure was seen: a KV transfer, the request plane (its response stream included), the engine, or routing. */
export interface RequestCause {
  plane: 'kv_transfer' | 'request' | 'engine' | 'router';
  code: string;
  message: string;
}

export interface DecodeRecord {
  worker_id: string;
  dp_rank?: number;
  pod?: string;
  overlap_blocks: number;
  prompt?: PromptAccount;
  output_tokens: number;
}

/** Dynamo's `migration_type`: before the first token (`new_request`) or after (`ongoing_request`). */
export interface MigrationRecord {
  migration_type: 'new_request' | 'ongoing_request';
  from_worker_id: string;
  /** Output tokens that were replayed as prompt. */
  replayed_tokens: number;
  cause: RequestCause;
}

/** Why a prompt went to a prefill worker or stayed with the decode worker: Dynamo's conditional disaggregation, every term. */
export interface ConditionalDecision {
  policy: 'always_remote' | 'isl_bounding' | 'prefill_load' | 'isl_or_load';
  remote: boolean;
  isl_tokens: number;
  /** Tokens the chosen decode worker has cached already. */
  decode_cached_tokens: number;
  /** `isl_tokens - decode_cached_tokens`. */
  effective_isl_tokens: number;
  max_local_prefill_length: number;
  max_local_prefill_ratio: number;
  /** Prompt tokens that wait at or run on the least busy prefill worker. */
  prefill_queue_tokens?: number;
  max_prefill_queue_tokens?: number;
  reason: string;
}
