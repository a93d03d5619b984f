import { KvRouter, type RouterKernels } from '../../backend/src/router/index.ts';
import type { RouterEvent } from '../../backend/src/protocol/index.ts';
import { promptsOf } from './routerWorkload.ts';

const BLOCK = 16;
const WARM_UP = 2_000;

/** One value per round. */
export interface Latencies {
  p50: number[];
  p99: number[];
}

/**
 * Microseconds of whole decisions (hash, find, score, record, book) for prompts of `tokens` tokens while
 * 32 requests run and the cache of every worker fills.
 */
export function decisionLatencies({
  workers,
  tokens,
  kernels,
  decisions = 5_000,
  rounds = 5,
}: {
  workers: number;
  tokens: number;
  kernels: RouterKernels;
  decisions?: number;
  rounds?: number;
}): Latencies {
  const router = new KvRouter({ mode: 'kv', blockSize: BLOCK, seed: 1n, kernels });
  router.setWorkers(Array.from({ length: workers }, (_, i) => ({ workerId: BigInt(i), pod: `pod-${i}` })));
  const prompts = promptsOf(64, tokens);
  const feed = eventFeed(router, kernels);
  const latencies: Latencies = { p50: [], p99: [] };
  let taken: number[] = [];
  for (let i = 0; i < WARM_UP + rounds * decisions; i++) {
    const prompt = prompts[i % prompts.length]!;
    const start = performance.now();
    const { chosen } = router.route({ requestId: `r${i}`, model: 'm', tokens: prompt });
    if (i >= WARM_UP) taken.push((performance.now() - start) * 1000);
    feed(BigInt(chosen.worker_id), prompt);
    router.free(`r${i - 32}`);
    if (taken.length < decisions) continue;
    taken.sort((a, b) => a - b);
    latencies.p50.push(taken[Math.floor(decisions * 0.5)]!);
    latencies.p99.push(taken[Math.floor(decisions * 0.99)]!);
    taken = [];
  }
  return latencies;
}

/** Selections per second without booking, one stored event between each, as `bench_dynamo_index.py` does it. */
export function selectionRates({ workers, tokens, kernels, seconds }: { workers: number; tokens: number; kernels: RouterKernels; seconds: number }): number[] {
  const router = new KvRouter({ mode: 'kv', blockSize: BLOCK, seed: 1n, kernels });
  router.setWorkers(Array.from({ length: workers }, (_, i) => ({ workerId: BigInt(i) })));
  const prompts = promptsOf(64, tokens);
  const feed = eventFeed(router, kernels);
  return Array.from({ length: 3 }, () => {
    const start = performance.now();
    let selections = 0;
    while (performance.now() - start < seconds * 1000) {
      const prompt = prompts[selections % prompts.length]!;
      feed(BigInt(selections % workers), prompt);
      router.route({ requestId: 'q', model: 'm', tokens: prompt, queryOnly: true });
      selections++;
    }
    return selections / ((performance.now() - start) / 1000);
  });
}

/** Publishes a prompt's blocks as that worker would. */
function eventFeed(router: KvRouter, kernels: RouterKernels): (workerId: bigint, tokens: Uint32Array) => void {
  const eventIds = new Map<bigint, number>();
  return (workerId, tokens) => {
    const { local, sequence } = kernels.hashBlocks(tokens, BLOCK, {});
    const eventId = eventIds.get(workerId) ?? 0;
    eventIds.set(workerId, eventId + 1);
    const blocks = Array.from(local, (tokensHash, i) => ({ blockHash: sequence[i]!, tokensHash }));
    const event: RouterEvent = { workerId, storageTier: 'device', event: { eventId, dpRank: 0, data: { type: 'stored', blocks } } };
    router.applyEvent(event);
  };
}
