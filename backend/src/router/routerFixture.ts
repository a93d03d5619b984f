import { localBlockHashes, sequenceHashes } from '../protocol/blockHash.ts';
import type { RouterEvent, RoutingDecision, StorageTier } from '../protocol/index.ts';
import { KvRouter } from './kvRouter.ts';
import type { KvRouterOptions } from './kvRouterOptions.ts';

/** Small things that the router's tests share: routers, questions, and events as a worker would publish them. */
export const MODEL = 'm';

/** Workers `1n`, `2n`, … */
export function routerWith(workers: number, options: Partial<KvRouterOptions> = {}): KvRouter {
  const router = new KvRouter({ mode: 'kv', blockSize: 4, seed: 7n, ...options });
  router.setWorkers(Array.from({ length: workers }, (_, i) => ({ workerId: BigInt(i + 1), pod: `pod-${i + 1}` })));
  return router;
}

let requests = 0;
export const ask = (router: KvRouter, tokens: number[], more = {}): RoutingDecision =>
  router.route({ requestId: `r${requests++}`, model: MODEL, tokens, ...more });
export const overlaps = (decision: RoutingDecision): number[] => decision.candidates.map((candidate) => candidate.overlap_blocks);

/** `stored` for the full blocks of `tokens`; engine hashes are the sequence hashes, as our own engine names them. */
export function storedEvent(
  workerId: bigint,
  eventId: number,
  tokens: number[],
  { blockSize = 4, dpRank = 0, fromBlock = 0, storageTier = 'device' as StorageTier } = {},
): RouterEvent {
  const local = localBlockHashes(tokens, blockSize);
  const sequence = sequenceHashes(local);
  const blocks = Array.from(local, (tokensHash, i) => ({ blockHash: sequence[i]!, tokensHash })).slice(fromBlock);
  const parentHash = fromBlock > 0 ? { parentHash: sequence[fromBlock - 1]! } : {};
  return { workerId, storageTier, event: { eventId, dpRank, data: { type: 'stored', ...parentHash, blocks } } };
}

export function removedEvent(workerId: bigint, eventId: number, blockHashes: bigint[], { dpRank = 0 } = {}): RouterEvent {
  return { workerId, storageTier: 'device', event: { eventId, dpRank, data: { type: 'removed', blockHashes } } };
}

export function clearedEvent(workerId: bigint, eventId: number, { dpRank = 0 } = {}): RouterEvent {
  return { workerId, storageTier: 'device', event: { eventId, dpRank, data: { type: 'cleared' } } };
}

/** Tokens `from`, `from + 1`, …: `blocks` blocks of 4. */
export function prompt(blocks: number, from = 0): number[] {
  return Array.from({ length: blocks * 4 }, (_, i) => from + i);
}
