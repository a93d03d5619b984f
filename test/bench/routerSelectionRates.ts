import { KvRouter, type RouterKernels } from '../../backend/src/router/index.ts';
import { eventFeed } from './routerEventFeed.ts';
import { promptsOf } from './routerWorkload.ts';

const BLOCK = 16;

/** Selections per second without booking, one stored event between each, as `bench_dynamo_index.py` does it. */
export function selectionRates({ workers, tokens, kernels, seconds }: { workers: number; tokens: number; kernels: RouterKernels; seconds: number }): number[] {
  const router = new KvRouter({ mode: 'kv', blockSize: BLOCK, seed: 1n, kernels });
  router.setWorkers(Array.from({ length: workers }, (_, i) => ({ workerId: BigInt(i) })));
  const prompts = promptsOf(64, tokens);
  const feed = eventFeed(router, kernels, BLOCK);
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
