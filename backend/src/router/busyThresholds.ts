import type { WorkerLoad } from './activeSequences.ts';
import { RouterError } from './routerError.ts';
import type { WorkerDescription } from './workerTable.ts';

/** When a worker takes no more. Each one that is set arms itself, as in Dynamo 1.6; unset ones never refuse. */
export interface BusyThresholds {
  /** Share of the worker's KV blocks in use by running requests. `--active-decode-blocks-threshold` */
  activeDecodeBlocks?: number;
  /** Prompt tokens waiting to be computed. `--active-prefill-tokens-threshold` */
  activePrefillTokens?: number;
  /** The same as a multiple of the worker's `max_num_batched_tokens`. `--active-prefill-tokens-threshold-frac` */
  activePrefillTokensFrac?: number;
}

export type BusyGate = 'active-decode-blocks' | 'active-prefill-tokens' | 'active-prefill-tokens-frac';

/** Throws `RouterError` INVALID_ROUTER_CONFIG for a threshold that is no finite number above 0. */
export function checkBusyThresholds(thresholds: BusyThresholds): void {
  for (const [name, value] of Object.entries(thresholds) as [string, unknown][]) {
    if (value === undefined || (typeof value === 'number' && Number.isFinite(value) && value > 0)) continue;
    throw new RouterError('INVALID_ROUTER_CONFIG', `Expected busy threshold \`${name}\` to be a finite number above 0, got ${String(value)}`);
  }
}

/** The first gate that the worker's load is above, or `undefined` when it may take more. */
export function busyGate(load: WorkerLoad, worker: WorkerDescription, thresholds: BusyThresholds): BusyGate | undefined {
  const { activeDecodeBlocks, activePrefillTokens, activePrefillTokensFrac } = thresholds;
  const { totalKvBlocks = Infinity, maxNumBatchedTokens = Infinity } = worker;
  if (activeDecodeBlocks !== undefined && load.activeDecodeBlocks > activeDecodeBlocks * totalKvBlocks) return 'active-decode-blocks';
  if (activePrefillTokens !== undefined && load.activePrefillTokens > activePrefillTokens) return 'active-prefill-tokens';
  if (activePrefillTokensFrac !== undefined && load.activePrefillTokens > activePrefillTokensFrac * maxNumBatchedTokens) return 'active-prefill-tokens-frac';
  return undefined;
}
