import { describe, expect, it } from 'vitest';
import { localBlockHashes, sequenceHashes } from '../protocol/blockHash.ts';
import { KvRouter } from './kvRouter.ts';
import { ask, clearedEvent, overlaps, prompt, removedEvent, routerWith, storedEvent } from './routerFixture.ts';

describe('workers and events', () => {
  it('routes to ranks, and only to ranks that the worker owns', () => {
    const router = new KvRouter({ mode: 'kv', blockSize: 4, seed: 1n });
    router.setWorkers([{ workerId: 1n, dpRanks: 2 }]);
    expect(router.applyEvent(storedEvent(1n, 0, prompt(3), { dpRank: 1 })).status).toBe('ok');
    expect(router.applyEvent(storedEvent(1n, 0, prompt(3), { dpRank: 2 })).status).toBe('unknown-rank');
    expect(ask(router, prompt(3))).toMatchObject({ chosen: { worker_id: '1', dp_rank: 1 }, tied: ['1:1'] });
  });

  it('forgets a removed worker and gives its memory back', () => {
    const router = routerWith(2);
    router.applyEvent(storedEvent(1n, 0, prompt(5)));
    ask(router, prompt(5));
    router.setWorkers([{ workerId: 2n }]);
    expect(router.indexStats()).toMatchObject({ blocks: 0, holdings: 0 });
    expect(ask(router, prompt(5)).chosen.worker_id).toBe('2');
    router.setWorkers([]);
    expect(() => ask(router, prompt(5))).toThrow(expect.objectContaining({ code: 'NO_WORKERS', gate: 'no-workers' }));
  });

  it('applies events that came before discovery showed the worker', () => {
    const router = routerWith(1);
    expect(router.applyEvent(storedEvent(5n, 0, prompt(3))).status).toBe('unknown-worker');
    router.setWorkers([{ workerId: 1n }, { workerId: 5n }]);
    expect(ask(router, prompt(3)).chosen.worker_id).toBe('5');
  });

  it('sees gaps, duplicates and restarts by the event ids', () => {
    const router = routerWith(1);
    expect(router.applyEvent(storedEvent(1n, 0, prompt(2)))).toEqual({ status: 'ok' });
    expect(router.applyEvent(storedEvent(1n, 0, prompt(2)))).toEqual({ status: 'duplicate' });
    expect(router.applyEvent(storedEvent(1n, 4, prompt(3), { fromBlock: 2 }))).toEqual({ status: 'gap', gap: { first: 1, last: 3 } });
    expect(router.applyEvent(storedEvent(1n, 6, prompt(4), { fromBlock: 3 }))).toEqual({ status: 'gap', gap: { first: 1, last: 5 } });
    expect(overlaps(ask(router, prompt(4)))).toEqual([4]);
    expect(router.applyEvent(storedEvent(1n, 0, prompt(1))).status).toBe('restart');
    expect(overlaps(ask(router, prompt(4)))).toEqual([1]);
    expect(router.indexStats().events).toEqual({ 'stored/ok': 1, 'stored/duplicate': 1, 'stored/gap': 2, 'stored/restart': 1 });
  });

  it('recovers from a gap with a dump, and holds what arrives meanwhile', () => {
    const router = routerWith(1);
    router.applyEvent(storedEvent(1n, 0, prompt(2, 500)));
    router.applyEvent(storedEvent(1n, 9, prompt(1, 600)));
    expect(router.beginRecovery(1n, 0)).toBe(true);
    expect(router.applyEvent(storedEvent(1n, 10, prompt(3, 700))).status).toBe('held');
    router.completeRecovery(1n, 0, { kind: 'dump', lastEventId: 9, events: [storedEvent(1n, 0, prompt(4)).event] });
    expect(overlaps(ask(router, prompt(4)))).toEqual([4]);
    expect(overlaps(ask(router, prompt(2, 500)))).toEqual([0]);
    expect(overlaps(ask(router, prompt(3, 700)))).toEqual([3]);
    expect(router.indexStats().workers[0]).toMatchObject({ last_event_id: 10, blocks: 7, gaps: 1 });
  });

  it('removed opens a hole that ends the match; storing it again closes it', () => {
    const router = routerWith(1);
    const sequence = sequenceHashes(localBlockHashes(prompt(4), 4));
    router.applyEvent(storedEvent(1n, 0, prompt(4)));
    expect(router.applyEvent(removedEvent(1n, 1, [sequence[1]!])).status).toBe('ok');
    expect(router.applyEvent(removedEvent(1n, 2, [sequence[1]!])).status).toBe('block-not-found');
    expect(overlaps(ask(router, prompt(4)))).toEqual([1]);
    router.applyEvent(storedEvent(1n, 3, prompt(2), { fromBlock: 1 }));
    expect(overlaps(ask(router, prompt(4)))).toEqual([4]);
    router.applyEvent(clearedEvent(1n, 4));
    expect(router.indexStats()).toMatchObject({ blocks: 0, holdings: 0 });
  });

  it('counts orphans, self-parents and nonsense, and goes on', () => {
    const router = routerWith(1);
    expect(router.applyEvent(storedEvent(1n, 0, prompt(3), { fromBlock: 2 })).status).toBe('orphan');
    const loop = { type: 'stored' as const, parentHash: 5n, blocks: [{ blockHash: 5n, tokensHash: 5n }] };
    expect(router.applyEvent({ workerId: 1n, storageTier: 'device', event: { eventId: 1, dpRank: 0, data: loop } }).status).toBe('self-parent');
    for (const nonsense of [
      null,
      undefined,
      5,
      {},
      { workerId: 1 },
      { workerId: 1n, event: { eventId: -1 } },
      { workerId: 1n, event: { eventId: 2, dpRank: 0, data: { type: 'x' } } },
    ]) {
      expect(router.applyEvent(nonsense as never).status).toBe('invalid');
    }
    const wide = { type: 'stored' as const, blocks: [{ blockHash: 1n << 64n, tokensHash: 0n }] };
    expect(router.applyEvent({ workerId: 1n, storageTier: 'device', event: { eventId: 2, dpRank: 0, data: wide } }).status).toBe('invalid');
    expect(ask(router, prompt(1)).chosen.worker_id).toBe('1');
  });
});
