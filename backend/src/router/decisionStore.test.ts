import { describe, expect, it } from 'vitest';
import { RouterError } from './routerError.ts';
import { MODEL, overlaps, prompt, routerWith, storedEvent } from './routerFixture.ts';

describe('decisions', () => {
  it('are kept within bounds, found by request id, and followed', () => {
    const router = routerWith(1, { decisions: 3 });
    const seen: string[] = [];
    const subscription = router.decisions.subscribe(({ request_id, outcome }) => seen.push(`${request_id}:${outcome?.status ?? 'routed'}`));
    for (const requestId of ['a', 'b', 'c', 'd']) router.route({ requestId, model: MODEL, tokens: prompt(1) });
    const outcome = { status: 'ok' as const, prompt_tokens: 4, cached_tokens: 0, computed_tokens: 4, output_tokens: 1, ttft_ms: 1, duration_ms: 2 };
    router.free('d', outcome);
    subscription[Symbol.dispose]();
    router.route({ requestId: 'e', model: MODEL, tokens: prompt(1) });
    expect(seen).toEqual(['a:routed', 'b:routed', 'c:routed', 'd:routed', 'd:ok']);
    expect(router.decisions.get('a')).toBeUndefined();
    expect(router.decisions.get('d')?.outcome).toEqual(outcome);
    expect(router.decisions.list().map(({ request_id }) => request_id)).toEqual(['c', 'd', 'e']);
    expect(router.decisions.list({ since: 3 }).map(({ request_id }) => request_id)).toEqual(['e']);
    expect(JSON.parse(JSON.stringify(router.decisions.get('e')))).toMatchObject({ request_id: 'e', candidates: [{ worker_id: '1' }] });
  });

  it('can be read for ever once handed out, and for as long as they are kept otherwise', () => {
    const router = routerWith(3, { decisions: 2 });
    router.applyEvent(storedEvent(2n, 0, prompt(3)));
    const [read, listed, expired] = ['read', 'listed', 'expired'].map((requestId) => {
      const decision = router.route({ requestId, model: MODEL, tokens: prompt(4) });
      if (requestId === 'read') expect(decision.candidates).toHaveLength(3);
      return requestId === 'listed' ? router.decisions.list().at(-1) : decision;
    });
    // Enough to fill the memory of the dropped ones with other numbers.
    for (let i = 0; i < 6_000; i++) router.route({ requestId: `later${i}`, model: MODEL, tokens: prompt(2, i), queryOnly: true });
    expect(overlaps(read!)).toEqual([0, 3, 0]);
    expect(listed!.candidates.map(({ cost }) => cost)).toEqual([8, 6, 8]);
    expect(listed!.reason).toContain('lowest cost');
    expect(() => expired!.candidates).toThrow(RouterError);
    expect(() => expired!.reason).toThrow(/not kept any more/);
    expect(expired!.chosen.worker_id).toBeDefined();
    expect(expired!.timing_us.total).toBeGreaterThan(0);
  });

  it('keep every term exactly, however many there are', () => {
    const router = routerWith(64, { decisions: 300 });
    const told: string[] = [];
    for (let i = 0; i < 900; i++) {
      router.applyEvent(storedEvent(BigInt((i % 64) + 1), Math.floor(i / 64), prompt(4, (i % 9) * 100)));
      const decision = router.route({ requestId: `r${i}`, model: MODEL, tokens: prompt(6, (i % 9) * 100) });
      if (i % 2 === 0) told.push(JSON.stringify({ request_id: decision.request_id, candidates: decision.candidates }));
      router.free(`r${i - 20}`);
    }
    const kept = router.decisions.list({ limit: 300 });
    expect(kept).toHaveLength(300);
    for (const { candidates, chosen, tied } of kept) {
      for (const { terms, cost } of candidates) expect(Object.values(terms).reduce((sum, term) => sum + term, 0)).toBe(cost);
      const cheapest = Math.min(...candidates.map(({ cost }) => cost!));
      expect(chosen.cost).toBe(cheapest);
      expect(tied).toContain(chosen.worker_id);
    }
    const again = kept.filter(({ sequence }) => sequence % 2 === 0).map(({ request_id, candidates }) => JSON.stringify({ request_id, candidates }));
    expect(again).toEqual(told.slice(-150));
  });
});
