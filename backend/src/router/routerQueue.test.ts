import { describe, expect, it } from 'vitest';
import { KvRouter } from './kvRouter.ts';
import { prompt } from './routerFixture.ts';
import { type QueuePolicy, RouterQueue, type QueuedRequest } from './routerQueue.ts';

function saturated(policy: QueuePolicy = 'fcfs', maxWaiting = 10) {
  const router = new KvRouter({ mode: 'kv', blockSize: 4, seed: 1n });
  router.setWorkers([{ workerId: 1n, maxNumBatchedTokens: 16 }]);
  let now = 0;
  const queue = new RouterQueue({ router, threshold: 1, policy, maxWaiting, clock: () => now++ });
  const order: string[] = [];
  const ask = (requestId: string, blocks: number, more: Partial<QueuedRequest> = {}, signal = new AbortController().signal) => {
    const routed = queue.schedule({ requestId, model: 'm', tokens: prompt(blocks, 1000 * order.length), ...more }, signal);
    void routed.then(
      () => order.push(requestId),
      () => order.push(`${requestId} refused`),
    );
    return routed;
  };
  return { router, queue, order, ask };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('RouterQueue', () => {
  it('holds requests while every worker is above the threshold, and goes on in order of arrival', async () => {
    const { router, queue, order, ask } = saturated();
    await ask('first', 5);
    void ask('second', 5);
    void ask('third', 5);
    await settled();
    expect({ order, waiting: queue.waiting, tokens: queue.waitingTokens }).toEqual({ order: ['first'], waiting: 2, tokens: 40 });
    router.prefillCompleted('first');
    await settled();
    expect(order).toEqual(['first', 'second']);
    router.free('second');
    await settled();
    expect(order).toEqual(['first', 'second', 'third']);
    expect(queue.waiting).toBe(0);
  });

  it('wspt takes short prompts first; strict priority goes before everything', async () => {
    const { router, order, ask } = saturated('wspt');
    await ask('running', 9);
    void ask('long', 8);
    void ask('short', 5);
    void ask('heavy', 8, { priorityJump: 3 });
    void ask('strict', 9, { strictPriority: 1 });
    for (const done of ['running', 'strict', 'heavy', 'short']) {
      router.free(done);
      await settled();
    }
    expect(order).toEqual(['running', 'strict', 'heavy', 'short', 'long']);
  });

  it('is bounded, and a request that gives up leaves it', async () => {
    const { queue, ask } = saturated('fcfs', 1);
    await ask('running', 9);
    const abort = new AbortController();
    const waiting = ask('waiting', 1, {}, abort.signal);
    await expect(ask('one too many', 1)).rejects.toMatchObject({ code: 'QUEUE_FULL', gate: 'router-queue' });
    abort.abort(new Error('client went away'));
    await expect(waiting).rejects.toThrow('client went away');
    expect(queue.waiting).toBe(0);
  });

  it('refuses what waits when it is closed, and when no worker is left', async () => {
    const { router, queue, ask } = saturated();
    await ask('running', 9);
    const orphaned = ask('orphaned', 1);
    router.setWorkers([]);
    await expect(orphaned).rejects.toMatchObject({ code: 'NO_WORKERS' });
    router.setWorkers([{ workerId: 1n, maxNumBatchedTokens: 16 }]);
    await ask('running again', 9);
    const closed = ask('closed', 1);
    queue[Symbol.dispose]();
    await expect(closed).rejects.toMatchObject({ gate: 'router-closed' });
  });
});

describe('busy thresholds', () => {
  it('leave out busy workers and name the gate when all are', () => {
    const router = new KvRouter({ mode: 'kv', blockSize: 4, seed: 1n, busy: { activePrefillTokens: 10, activeDecodeBlocks: 0.5 } });
    router.setWorkers([
      { workerId: 1n, totalKvBlocks: 100 },
      { workerId: 2n, totalKvBlocks: 4 },
    ]);
    router.route({ requestId: 'a', model: 'm', tokens: prompt(4), pin: { workerId: 1n } });
    expect(router.route({ requestId: 'b', model: 'm', tokens: prompt(4) })).toMatchObject({ chosen: { worker_id: '2' }, candidates: [{ worker_id: '2' }] });
    const refused = (): unknown => router.route({ requestId: 'c', model: 'm', tokens: prompt(1) });
    expect(refused).toThrow(expect.objectContaining({ code: 'ALL_WORKERS_BUSY', gate: 'active-decode-blocks+active-prefill-tokens' }));
    const pinned = (): unknown => router.route({ requestId: 'd', model: 'm', tokens: prompt(1), pin: { workerId: 1n } });
    expect(pinned).toThrow(expect.objectContaining({ code: 'PINNED_WORKER_BUSY', gate: 'active-prefill-tokens' }));
    router.prefillCompleted('a');
    expect(refused).not.toThrow();
  });

  it('refuse nonsense', () => {
    for (const activePrefillTokens of [Number.NaN, 0, -1, Infinity]) {
      expect(() => new KvRouter({ mode: 'kv', blockSize: 4, busy: { activePrefillTokens } })).toThrow(
        expect.objectContaining({ code: 'INVALID_ROUTER_CONFIG' }),
      );
    }
  });
});

describe('guessing instead of events', () => {
  it('without events, a worker is believed to hold what it was sent', () => {
    let now = 0;
    const router = new KvRouter({ mode: 'kv', blockSize: 4, seed: 1n, kvEvents: false, approximate: { ttlMs: 1000 }, clock: () => now });
    router.setWorkers([{ workerId: 1n }, { workerId: 2n }]);
    const first = router.route({ requestId: 'a', model: 'm', tokens: prompt(8) });
    router.free('a');
    const second = router.route({ requestId: 'b', model: 'm', tokens: prompt(8) });
    expect(second.chosen).toMatchObject({ worker_id: first.chosen.worker_id, overlap_blocks: 8 });
    expect(second.candidates.map(({ predicted_overlap_blocks }) => predicted_overlap_blocks ?? 0).sort()).toEqual([0, 8]);
    expect(router.applyEvent({} as never).status).toBe('ignored');
    router.free('b');
    now = 5000;
    expect(router.route({ requestId: 'c', model: 'm', tokens: prompt(8) }).chosen.overlap_blocks).toBe(0);
  });

  it('predict-on-route keeps a burst of siblings together before the first event comes', () => {
    const siblings = (predictedTtlMs?: number): number => {
      const router = new KvRouter({ mode: 'kv', blockSize: 4, seed: 3n, ...(predictedTtlMs === undefined ? {} : { predictedTtlMs }) });
      router.setWorkers(Array.from({ length: 4 }, (_, i) => ({ workerId: BigInt(i) })));
      const overlapping = Array.from({ length: 4 }, (_, i) => {
        const { request_id, chosen } = router.route({ requestId: `r${i}`, model: 'm', tokens: [...prompt(40), ...prompt(1, 9000 + 4 * i)] });
        router.prefillCompleted(request_id);
        return chosen.overlap_blocks;
      });
      return overlapping.filter((blocks) => blocks === 40).length;
    };
    expect(siblings()).toBe(0);
    expect(siblings(5000)).toBe(3);
  });
});
