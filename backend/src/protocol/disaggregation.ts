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
  /** The prompt is still being computed: so much of it can be read already. Another output with all of it follows. */
  remote_prefill_in_progress?: boolean;
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
  /** What this decode worker was made to read before. */
  overlapped?: OverlappedRead;
}

/** Blocks of one prompt that a decode worker read into its prefix cache while the prefill worker computed the rest. */
export interface OverlappedRead {
  /** Counted from the prompt's first. */
  first_block: number;
  blocks: number;
  reads: number;
  transport: string;
  /** Microseconds: all these reads, and how long the last one still took when the prompt had been computed. */
  transfer_us: number;
  settle_us: number;
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
  /** Of these, what had been read before the prompt was wholly computed; absent where nothing had. */
  overlapped?: Omit<OverlappedRead, 'first_block' | 'transport'> & { bytes: number; tokens: number };
  /** Microseconds: waiting for blocks of the own pool, and the read itself, of what was left to be read when the prompt had been computed. */
  wait_us: number;
  transfer_us: number;
  retries: number;
  resumed: boolean;
  /** Set when it failed: the transfer engine's code (EXPIRED, DEADLINE, CHECKSUM, …) and words. */
  error?: { code: string; message: string };
  /** The transfer engine's timeline of this read: steps with their microseconds since it was asked for. */
  timeline?: { step: string; at_us: number }[];
}
