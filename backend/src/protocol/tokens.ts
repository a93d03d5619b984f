import type { SpanRecord } from './trace.ts';
import type { DisaggregatedParams, KvTransferAccount, KvTransferParams, PrefillResult } from './disaggregation.ts';

/** What the frontend sends to a worker: Dynamo's `PreprocessedRequest`, reduced to the fields we serve. Snake case on the wire, as Dynamo's. */
export interface PreprocessedRequest {
  request_id: string;
  model: string;
  token_ids: number[];
  stop_conditions: { max_tokens: number; min_tokens?: number; stop?: string[]; stop_token_ids?: number[]; ignore_eos?: boolean };
  sampling_options: { temperature: number; top_p?: number; top_k?: number; seed?: number };
  output_options: { logprobs?: number };
  /** Set by the router for the record; the worker logs it and trusts only its own cache. */
  estimated_prefix_hit_num_blocks?: number;
  /** To a prefill worker: `{ do_remote_decode: true }`. */
  kv_transfer_params?: KvTransferParams;
  /** To a decode worker: where the prompt's KV blocks are. */
  prefill_result?: PrefillResult;
  /** After a migration: so many of the last `token_ids` are the answer's, drawn elsewhere; `max_tokens` and `min_tokens` are what is left of them. */
  replayed_tokens?: number;
  /** W3C `traceparent` of the caller's span. */
  traceparent?: string;
}

export type FinishReason = 'stop' | 'length' | 'cancelled' | 'error';

/** One streamed item of a worker's answer: Dynamo's `LLMEngineOutput`. */
export interface EngineOutput {
  token_ids: number[];
  finish_reason?: FinishReason;
  /** Per token of `token_ids`, when asked for. */
  log_probs?: number[];
  top_logprobs?: { token_id: number; logprob: number }[][];
  /** On the first item: how the prompt was computed. */
  prompt?: PromptAccount;
  /** On the output with which a prefill worker ends. */
  disaggregated_params?: DisaggregatedParams;
  /** On the first item of a decode worker that was told to read KV blocks. */
  kv_transfer?: KvTransferAccount;
  error?: { code: string; message: string };
  /** On the last item, when the request came with a `traceparent`: what this worker traced of it. */
  spans?: SpanRecord[];
}

/** The worker's own account of one prompt: `prompt_tokens == cached_tokens + transferred_tokens + computed_tokens`. */
export interface PromptAccount {
  prompt_tokens: number;
  /** Tokens whose KV blocks were already in this worker's cache. */
  cached_tokens: number;
  /** Tokens whose KV blocks were read from a prefill worker. Absent means none. */
  transferred_tokens?: number;
  /** Tokens whose KV blocks came back from this worker's host tier; part of `cached_tokens`. Absent means none. */
  host_cached_tokens?: number;
  /** Tokens that went through the model. At least one: the last token is always computed for its logits. */
  computed_tokens: number;
  cached_blocks: number;
  /** Microseconds from arrival at the worker to the first token. */
  queue_us: number;
  prefill_us: number;
}

/** Recommended by a model's makers. */
export interface SamplingDefaults {
  temperature?: number | undefined;
  top_p?: number | undefined;
  top_k?: number | undefined;
}

/** What a worker publishes about its model: Dynamo's `ModelDeploymentCard`, reduced. */
export interface ModelDeploymentCard {
  /** The name clients ask for, e.g. `Qwen/Qwen2.5-1.5B-Instruct`. */
  display_name: string;
  model_type: 'chat' | 'prefill';
  context_length: number;
  kv_cache_block_size: number;
  total_kv_blocks: number;
  max_num_seqs: number;
  max_num_batched_tokens: number;
  migration_limit: number;
  eos_token_ids: number[];
  /** Used where a request does not say. */
  default_sampling?: SamplingDefaults;
  /** Folder with tokenizer.json, tokenizer_config.json and chat template, readable by frontends of the same host. */
  tokenizer_path: string;
  /** What really computes. Where it is not the model of `display_name`, every answer says so. */
  engine: { name: string; architecture: string; parameters: number; stand_in: boolean; kv_bytes_per_block: number; fingerprint: string };
  /** `none` when prefix caching or event publishing is off: a KV router then sees no overlap. */
  kv_events: 'nats' | 'zmq' | 'none';
}
