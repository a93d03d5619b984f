import { describe, expect, it } from 'vitest';
import { MODEL, prompt, routerWith } from './routerFixture.ts';

describe('two frontends', () => {
  it('know the load that the other one causes, and nothing is left when all has ended', () => {
    const [a, b] = [routerWith(2), routerWith(2)];
    a.onSequenceEvent((event) => b.applySequenceEvent(event));
    b.onSequenceEvent((event) => a.applySequenceEvent(event));
    const first = a.route({ requestId: 'same id', model: MODEL, tokens: prompt(4) });
    const second = b.route({ requestId: 'same id', model: MODEL, tokens: prompt(4) });
    expect(second.chosen.worker_id).not.toBe(first.chosen.worker_id);
    expect(a.loads()).toEqual(b.loads());
    a.prefillCompleted('same id');
    expect(
      b
        .loads()
        .map(({ activePrefillTokens }) => activePrefillTokens)
        .sort(),
    ).toEqual([0, 16]);
    a.free('same id');
    b.free('same id');
    for (const router of [a, b])
      expect(router.loads().every(({ activeRequests, activeDecodeBlocks }) => activeRequests === 0 && activeDecodeBlocks === 0)).toBe(true);
  });

  it('ignore what cannot be: own events, unknown workers, ends of nothing', () => {
    const router = routerWith(1);
    const add = { type: 'add', routerId: 'other', requestId: 'r', workerId: 9n, dpRank: 0, sequence: new BigUint64Array(2), prefillTokens: 8 } as const;
    expect(router.applySequenceEvent(add)).toBe(false);
    expect(router.applySequenceEvent({ ...add, routerId: router.routerId, workerId: 1n })).toBe(false);
    expect(router.applySequenceEvent({ type: 'free', routerId: 'other', requestId: 'r' })).toBe(false);
    expect(router.applySequenceEvent({ ...add, workerId: 1n })).toBe(true);
    expect(router.applySequenceEvent({ ...add, workerId: 1n })).toBe(false);
    router.setWorkers([]);
    expect(router.applySequenceEvent({ type: 'free', routerId: 'other', requestId: 'r' })).toBe(false);
  });
});
