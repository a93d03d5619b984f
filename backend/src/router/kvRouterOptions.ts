import type { RouterMode, RouterWeights } from '../protocol/index.ts';
import type { ApproximateIndexOptions } from './approximateIndex.ts';
import type { BusyThresholds } from './busyThresholds.ts';
import type { CostFormulaName } from './costFormula.ts';
import type { WorkerConstraints } from './eligibleWorkers.ts';
import type { BlockHashes, RouterKernels } from './routerKernels.ts';

export interface KvRouterOptions {
  mode: RouterMode;
  /** Tokens per KV block; must be the workers' own, or nothing ever matches. */
  blockSize: number;
  weights?: Partial<RouterWeights>;
  /** Default `linear`, Dynamo 1.6's. */
  formula?: CostFormulaName;
  /** Seed of ties and samples; without one, each router draws its own. */
  seed?: bigint;
  /** How many decisions are kept. Default 1000. */
  decisions?: number;
  /** False: believe the router's own decisions instead of events (`--no-router-kv-events`). Default true. */
  kvEvents?: boolean;
  /** For `kvEvents: false`. */
  approximate?: ApproximateIndexOptions;
  /** With events: believe for this long that a routed prompt is already cached, so that a burst of siblings stays together (`--router-predicted-ttl-secs`). */
  predictedTtlMs?: number;
  /** Above these a worker takes no more; when all are, requests are refused. Read at every decision: its owner may change it. */
  busy?: BusyThresholds;
  /** Requests that nobody freed are dropped after this time. Default one hour. */
  staleAfterMs?: number;
  /** Prompts above this are refused with PROMPT_TOO_LONG before any work is done. Default 1,048,576 tokens. */
  maxPromptTokens?: number;
  /** Default: the readable TypeScript ones. */
  kernels?: RouterKernels;
  /** Milliseconds, monotonic. */
  clock?: () => number;
}

export interface RouteRequest extends WorkerConstraints {
  requestId: string;
  model: string;
  tokens: ArrayLike<number>;
  /** The block hashes of `tokens`, where the caller has them already: then only the number of tokens counts. */
  hashes?: BlockHashes;
  loraName?: string;
  cacheSalt?: string;
  /** Weights for this request only. */
  overrides?: Partial<RouterWeights>;
  /** Decide and record, but add no load: nothing will be sent. */
  queryOnly?: boolean;
  /** False: the worker keeps no blocks to decode with, as prefill workers. Default true. */
  trackActiveBlocks?: boolean;
  /** False: the prompt does not count as prefill load, since its KV comes from elsewhere. Default true. */
  trackPrefillTokens?: boolean;
  /** False: blocks that running requests use already count as new all the same. Default true. */
  assumeKvReuse?: boolean;
}
