import type { PromptAccount } from './tokens.ts';

/**
 * What prefill and decode tell each other about one request's KV blocks: vLLM NixlConnector's `kv_transfer_params`, with its names, and our grant.
 * To the prefill worker: `{ do_remote_decode: true }`. From it, and on to the decode worker: all the rest with `do_remote_prefill: true`.
 */
export interface KvTransferParams {
  do_remote_decode?: boolean;
  do_remote_prefill?: boolean;
  /** The prefill worker's transfer agent. */
  remote_engine_id?: string;
  /** Its pool's block numbers, in prompt order; the last one may be partly filled. */
  remote_block_ids?: number[];
  remote_request_id?: string;
  remote_host?: string;
  remote_port?: number;
  tp_size?: number;
  /** Tokens of the prompt whose KV these blocks hold. */
  remote_num_tokens?: number;
  /** Digest of these tokens: whoever has another prompt must not read. */
  prompt_digest?: string;
  /** Checked before a byte moves. */
  compatibility?: KvCompatibility;
  /** Permission to read the blocks: `Grant` of the transfer engine. */
  grant?: unknown;
}

/** Two workers may exchange KV blocks only if all of this is equal on both sides. */
export interface KvCompatibility {
  /** Digest of configuration, weights and arithmetic. */
  model: string;
  dtype: string;
  /** Tokens per block. */
  block_size: number;
  block_bytes: number;
  layout: string;
  tp_size: number;
}

/** Dynamo's `disaggregated_params`: on the output with which a prefill worker ends. */
export interface DisaggregatedParams {
  worker_id: string;
  kv_transfer_params: KvTransferParams;
}

/** Dynamo's `prefill_result`: what the frontend passes on to the decode worker. */
export interface PrefillResult {
  disaggregated_params: DisaggregatedParams;
  /** How the prefill worker computed the prompt. */
  prompt?: PromptAccount;
}

/** The decode worker's account of one KV transfer. `bytes == blocks * block_bytes`. */
export interface KvTransferAccount {
  status: 'ok' | 'failed';
  /** `shm`, `uds`, `tcp`, …; `none` when nothing had to move. */
  transport: string;
  /** Blocks read, without those the decode worker had already. */
  blocks: number;
  block_bytes: number;
  /** Verified at the decode worker. */
  bytes: number;
  /** Tokens whose KV came in these blocks. */
  tokens: number;
  /** Microseconds: waiting for blocks of the own pool, and the read itself. */
  wait_us: number;
  transfer_us: number;
  retries: number;
  resumed: boolean;
  /** Set when it failed: the transfer engine's code (EXPIRED, DEADLINE, CHECKSUM, …) and words. */
  error?: { code: string; message: string };
  /** The transfer engine's timeline of this read: steps with their microseconds since it was asked for. */
  timeline?: { step: string; at_us: number }[];
}
