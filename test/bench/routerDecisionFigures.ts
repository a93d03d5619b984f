import { PerformanceObserver } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import { KvRouter, type RouterKernels } from '../../backend/src/router/index.ts';
import { eventFeed } from './routerEventFeed.ts';
import { promptsOf } from './routerWorkload.ts';

const BLOCK = 16;
const WARM_UP = 2_000;

/** Microseconds; one value per round. */
export interface Latencies {
  p50: number[];
  p99: number[];
  p999: number[];
  /** 99th percentile of the decisions when each is taken as the second quickest of its rounds: what comes at the same place in every round stays. */
  repeatedP99: number;
  /** 99th percentile of copying the prompt's tokens, timed before each decision: what the machine adds where 32 KiB are touched that have not been for a while. */
  copyingP99: number[];
  /** Share of the time of decisions that lay in a garbage collection. */
  gcShare: number;
  decisions: number;
}

/**
 * Whole decisions (hash, find, score, record, book) for prompts of `tokens` tokens while 32 requests run and the cache of every worker fills.
 * All rounds are the same, from an empty router on. Throws when records read back afterwards are not complete.
 */
export async function decisionLatencies(options: { workers: number; tokens: number; kernels: RouterKernels }): Promise<Latencies> {
  const { decisions, rounds } = { decisions: 5_000, rounds: 5 };
  const collections: { from: number; to: number }[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) collections.push({ from: startTime, to: startTime + duration });
  });
  observer.observe({ entryTypes: ['gc'] });
  const taken: Round[] = [];
  for (let round = 0; round < rounds; round++) {
    taken.push(decideOften({ ...options, decisions }));
    await setTimeout(1); // collections are told between rounds
  }
  observer.disconnect();
  const inCollections = taken.reduce((sum, round) => sum + overlapWith(collections, round), 0);
  const secondQuickest = Float64Array.from({ length: decisions }, (_, i) => taken.map(({ micros }) => micros[i]!).sort((a, b) => a - b)[1]!);
  return {
    p50: taken.map(({ micros }) => percentile(micros, 0.5)),
    p99: taken.map(({ micros }) => percentile(micros, 0.99)),
    p999: taken.map(({ micros }) => percentile(micros, 0.999)),
    repeatedP99: percentile(secondQuickest, 0.99),
    copyingP99: taken.map(({ copying }) => percentile(copying, 0.99)),
    gcShare: inCollections / taken.reduce((sum, { micros }) => sum + micros.reduce((total, value) => total + value, 0), 0),
    decisions: rounds * decisions,
  };
}

interface Round {
  /** Milliseconds on `performance.now`'s clock. */
  starts: Float64Array;
  micros: Float64Array;
  copying: Float64Array;
}

function decideOften({ workers, tokens, kernels, decisions }: { workers: number; tokens: number; kernels: RouterKernels; decisions: number }): Round {
  const router = new KvRouter({ mode: 'kv', blockSize: BLOCK, seed: 1n, kernels });
  router.setWorkers(Array.from({ length: workers }, (_, i) => ({ workerId: BigInt(i), pod: `pod-${i}` })));
  const prompts = promptsOf(64, tokens);
  const feed = eventFeed(router, kernels, BLOCK);
  const column = (): Float64Array => new Float64Array(decisions).fill(0);
  const round = { starts: column(), micros: column(), copying: column() };
  const fresh = new Uint32Array(tokens);
  for (let i = -WARM_UP; i < decisions; i++) {
    const prompt = prompts[(i + WARM_UP) % prompts.length]!;
    const before = performance.now();
    fresh.set(prompt); // as a tokenizer has just written them
    const start = performance.now();
    const { chosen } = router.route({ requestId: `r${i}`, model: 'm', tokens: fresh });
    const decided = performance.now();
    if (i >= 0) {
      round.starts[i] = start;
      round.micros[i] = (decided - start) * 1000;
      round.copying[i] = (start - before) * 1000;
    }
    feed(BigInt(chosen.worker_id), prompt);
    router.free(`r${i - 32}`);
  }
  checkRecords(router, workers, Math.floor(tokens / BLOCK));
  return round;
}

/** Every term of every candidate is on record. */
function checkRecords(router: KvRouter, workers: number, blocks: number): void {
  const kept = router.decisions.list({ limit: 1000 });
  if (kept.length !== 1000) throw new Error(`${kept.length} decisions are kept`);
  for (const { request_id, request_blocks, candidates, chosen, tied, reason } of kept) {
    const sums = candidates.map(({ terms }) => Object.values(terms).reduce((sum, term) => sum + term, 0));
    const whole = candidates.length === workers && request_blocks === blocks && candidates.every(({ cost }, i) => cost === sums[i]);
    if (!whole || chosen.cost !== Math.min(...sums) || !tied.includes(chosen.worker_id) || !reason) throw new Error(`the record of ${request_id} is not whole`);
  }
}

/** Microseconds of decisions inside collections. Both are in order. */
function overlapWith(collections: { from: number; to: number }[], { starts, micros }: Round): number {
  let micro = 0;
  let next = 0;
  for (let i = 0; i < starts.length; i++) {
    const start = starts[i]!;
    const end = start + micros[i]! / 1000;
    while (next < collections.length && collections[next]!.to < start) next++;
    for (let at = next; at < collections.length && collections[at]!.from < end; at++) {
      micro += Math.max(0, Math.min(end, collections[at]!.to) - Math.max(start, collections[at]!.from)) * 1000;
    }
  }
  return micro;
}

function percentile(values: Float64Array, share: number): number {
  return values.toSorted()[Math.floor(values.length * share)]!;
}
