/** What the router decided for one request and every term of why. JSON-safe: worker ids are decimal strings. */
export interface RoutingDecision {
  /** Monotonic per router. */
  sequence: number;
  request_id: string;
  /** RFC 3339. */
  time: string;
  model: string;
  mode: RouterMode;
  block_size: number;
  isl_tokens: number;
  /** Full blocks of the prompt. */
  request_blocks: number;
  /** Sequence hash of the last full block, decimal: it commits to every token before it, so equal hashes mean equal prompts up to there. */
  prefix_hash?: string | undefined;
  formula: 'dynamo-0.8' | 'linear' | 'none';
  weights: RouterWeights;
  candidates: CandidateScore[];
  chosen: { worker_id: string; dp_rank: number; pod?: string; overlap_blocks: number; cost: number | null };
  /** Candidates that shared the lowest cost; more than one means the tie was broken by the seeded generator. */
  tied: string[];
  /** In words: why the chosen one won and each other lost. */
  reason: string;
  /** What round-robin would have chosen from the same candidates. */
  round_robin_choice: string;
  /** Microseconds spent hashing, matching and scoring. */
  timing_us: { hashing: number; find_matches: number; scoring: number; total: number };
  /** Filled when the request ends: what really happened. */
  outcome?: {
    status: 'ok' | 'error' | 'cancelled';
    prompt_tokens: number;
    cached_tokens: number;
    computed_tokens: number;
    output_tokens: number;
    ttft_ms: number;
    duration_ms: number;
    error?: string;
  };
}

export type RouterMode = 'round-robin' | 'random' | 'kv' | 'power-of-two' | 'least-loaded' | 'direct';

export interface RouterWeights {
  overlap_score_weight: number;
  temperature: number;
  [term: string]: number;
}

export interface CandidateScore {
  worker_id: string;
  dp_rank: number;
  pod?: string;
  /** Blocks of this prompt that the index says this worker holds. */
  overlap_blocks: number;
  /** Blocks right after those in the worker's host cache, and right after these on its disk. Absent means none. */
  host_overlap_blocks?: number;
  disk_overlap_blocks?: number;
  /** Set where `overlap_blocks` was guessed from earlier decisions and no event has confirmed it. */
  predicted_overlap_blocks?: number;
  /** Load before this request. */
  active_prefill_tokens: number;
  active_decode_blocks: number;
  active_requests: number;
  /** Blocks of this prompt that no running request of the worker uses yet; absent in modes without a cost. */
  additional_decode_blocks?: number;
  /** Each named term of the formula, in the order in which it is added up. */
  terms: Record<string, number>;
  /** What the terms were made of: credits, decay, backlog. */
  factors?: Record<string, number>;
  /** `null` in modes without a cost. */
  cost: number | null;
}
