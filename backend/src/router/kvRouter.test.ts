import { describe, expect, it } from 'vitest';
import { InvalidBlockSizeError, localBlockHashes, sequenceHashes } from '../protocol/blockHash.ts';
import type { RoutingDecision } from '../protocol/index.ts';
import { KvRouter } from './kvRouter.ts';
import type { KvRouterOptions } from './kvRouterOptions.ts';
import { RouterError } from './routerError.ts';
import { clearedEvent, prompt, removedEvent, storedEvent } from './routerFixture.ts';
import { whatIf } from './whatIf.ts';

const MODEL = 'm';

function routerWith(workers: number, options: Partial<KvRouterOptions> = {}): KvRouter {
  const router = new KvRouter({ mode: 'kv', blockSize: 4, seed: 7n, ...options });
  router.setWorkers(Array.from({ length: workers }, (_, i) => ({ workerId: BigInt(i + 1), pod: `pod-${i + 1}` })));
  return router;
}

let requests = 0;
const ask = (router: KvRouter, tokens: number[], more = {}): RoutingDecision => router.route({ requestId: `r${requests++}`, model: MODEL, tokens, ...more });
const overlaps = (decision: RoutingDecision): number[] => decision.candidates.map((candidate) => candidate.overlap_blocks);

describe('KvRouter in kv mode', () => {
  it('prefers the worker that holds the prefix, and says why', () => {
    const router = routerWith(3);
    router.applyEvent(storedEvent(2n, 0, prompt(6)));
    router.applyEvent(storedEvent(3n, 0, prompt(2)));
    const decision = ask(router, prompt(8));
    expect(overlaps(decision)).toEqual([0, 6, 2]);
    expect(decision.candidates.map(({ cost }) => cost)).toEqual([16, 10, 14]);
    expect(decision.chosen).toEqual({ worker_id: '2', dp_rank: 0, pod: 'pod-2', overlap_blocks: 6, cost: 10 });
    expect(decision.reason).toBe(
      "pod-2 has the lowest cost 10: it holds 6 of the prompt's 8 blocks. " +
        'pod-3 costs 4 more (14) because it holds 4 blocks less; pod-1 costs 6 more (16) because it holds 6 blocks less.',
    );
    expect(decision.round_robin_choice).toBe('1');
    for (const { terms, cost } of decision.candidates) expect(Object.values(terms).reduce((sum, term) => sum + term, 0)).toBe(cost);
  });

  it('leaves a loaded worker for an idle one once the load outweighs the cache', () => {
    const router = routerWith(2);
    router.applyEvent(storedEvent(1n, 0, prompt(2)));
    const first = ask(router, [...prompt(2), ...prompt(6, 100)]);
    expect(first.chosen.worker_id).toBe('1');
    const second = ask(router, [...prompt(2), ...prompt(6, 200)]);
    expect(second.chosen.worker_id).toBe('2');
    expect(second.candidates[0]).toMatchObject({ active_prefill_tokens: 24, active_decode_blocks: 8, active_requests: 1, additional_decode_blocks: 6 });
  });

  it('takes load off at the first token and at the end', () => {
    const router = routerWith(1);
    const { request_id } = ask(router, prompt(3));
    expect(router.loads()[0]).toMatchObject({ activePrefillTokens: 12, activeDecodeBlocks: 3, activeRequests: 1 });
    router.prefillCompleted(request_id);
    router.outputBlocks(request_id, 2);
    expect(router.loads()[0]).toMatchObject({ activePrefillTokens: 0, activeDecodeBlocks: 5, activeRequests: 1 });
    router.free(request_id);
    router.free(request_id);
    expect(router.loads()[0]).toMatchObject({ activePrefillTokens: 0, activeDecodeBlocks: 0, activeRequests: 0 });
  });

  it('breaks ties by the seed: the same seed repeats them, every worker gets its share', () => {
    const choices = (seed: bigint): string[] => {
      const router = routerWith(4, { seed });
      return Array.from({ length: 200 }, () => ask(router, prompt(1), { queryOnly: true }).chosen.worker_id);
    };
    expect(choices(1n)).toEqual(choices(1n));
    expect(choices(1n)).not.toEqual(choices(2n));
    for (const worker of ['1', '2', '3', '4']) expect(choices(3n).filter((choice) => choice === worker).length).toBeGreaterThan(25);
  });

  it('adds no load for a query and counts no turn', () => {
    const router = routerWith(2);
    ask(router, prompt(4), { queryOnly: true });
    expect(router.loads().every(({ activeRequests }) => activeRequests === 0)).toBe(true);
    expect(ask(router, prompt(4)).round_robin_choice).toBe('1');
  });

  it('counts blocks of the host tier only after those of the device', () => {
    const router = routerWith(2);
    router.applyEvent(storedEvent(1n, 0, prompt(2)));
    router.applyEvent(storedEvent(1n, 1, prompt(5), { storageTier: 'host_pinned' }));
    const { candidates } = ask(router, prompt(8));
    expect(candidates[0]).toMatchObject({ overlap_blocks: 2, host_overlap_blocks: 3, factors: { device_credit_blocks: 2, host_credit_blocks: 2.25 } });
    expect(candidates[0]!.cost).toBe(8 - 4.25 + 8);
  });
});

describe('cost formulas', () => {
  it('dynamo-0.8: the example of its documentation, (8,10), (5,5), (2,9) → 18, 10 wins, 11', () => {
    const router = routerWith(3, { formula: 'dynamo-0.8', blockSize: 1 });
    // Ten blocks of prompt: cached parts leave 8, 5 and 2 to prefill; running requests bring decode blocks to 10, 5 and 9 less the prompt's ten.
    router.applyEvent(storedEvent(1n, 0, prompt(10).slice(0, 2), { blockSize: 1 }));
    router.applyEvent(storedEvent(2n, 0, prompt(10).slice(0, 5), { blockSize: 1 }));
    router.applyEvent(storedEvent(3n, 0, prompt(10).slice(0, 8), { blockSize: 1 }));
    const decision = ask(router, prompt(10).slice(0, 10));
    expect(decision.candidates.map(({ terms }) => terms['prefill_cost_blocks'])).toEqual([8, 5, 2]);
    const rescored = whatIf({
      ...decision,
      candidates: decision.candidates.map((candidate, i) => ({ ...candidate, additional_decode_blocks: [10, 5, 9][i]! })),
    });
    expect(rescored.candidates.map(({ cost }) => cost)).toEqual([18, 10, 11]);
    expect(rescored.winners).toEqual(['2']);
  });

  it('what-if scores a recorded decision with other weights, from the state of that moment', () => {
    const router = routerWith(2);
    router.applyEvent(storedEvent(1n, 0, prompt(6)));
    const decision = ask(router, prompt(8));
    router.setWorkers([]);
    expect(whatIf(decision)).toMatchObject({ sameChoice: true, winners: ['1'] });
    expect(whatIf(decision).candidates.map(({ cost }) => cost)).toEqual(decision.candidates.map(({ cost }) => cost));
    expect(whatIf(decision, { weights: { overlap_score_weight: 0 } }).winners).toEqual(['1', '2']);
    expect(whatIf(decision, { weights: { temperature: 1 } }).candidates.map(({ probability }) => probability.toFixed(3))).toEqual(['0.731', '0.269']);
    expect(() => whatIf(decision, { weights: { temperature: -1 } })).toThrow(RouterError);
  });
});

describe('other modes', () => {
  it('round-robin goes round, whatever is cached', () => {
    const router = routerWith(3, { mode: 'round-robin' });
    router.applyEvent(storedEvent(2n, 0, prompt(4)));
    const decisions = Array.from({ length: 6 }, () => ask(router, prompt(4)));
    expect(decisions.map(({ chosen }) => chosen.worker_id)).toEqual(['1', '2', '3', '1', '2', '3']);
    expect(decisions.every(({ chosen, round_robin_choice }) => chosen.worker_id === round_robin_choice)).toBe(true);
    expect(decisions[0]).toMatchObject({ formula: 'none', chosen: { cost: null } });
  });

  it('least-loaded and power-of-two look at running requests', () => {
    const least = routerWith(4, { mode: 'least-loaded' });
    const chosen = Array.from({ length: 8 }, () => ask(least, prompt(1)).chosen.worker_id);
    expect(new Set(chosen.slice(0, 4)).size).toBe(4);
    const two = routerWith(2, { mode: 'power-of-two' });
    const pair = Array.from({ length: 10 }, () => ask(two, prompt(1)).chosen.worker_id);
    expect(pair.filter((worker) => worker === '1')).toHaveLength(5);
  });

  it('random reaches every worker', () => {
    const router = routerWith(5, { mode: 'random' });
    expect(new Set(Array.from({ length: 100 }, () => ask(router, prompt(1)).chosen.worker_id)).size).toBe(5);
  });

  it('direct needs a pin; a pin is kept in every mode', () => {
    expect(() => ask(routerWith(2, { mode: 'direct' }), prompt(1))).toThrow(expect.objectContaining({ code: 'PIN_REQUIRED' }));
    const router = routerWith(3, { mode: 'round-robin' });
    expect(ask(router, prompt(1), { pin: { workerId: 3n } })).toMatchObject({ chosen: { worker_id: '3' }, reason: expect.stringContaining('asked for') });
    expect(() => ask(router, prompt(1), { pin: { workerId: 9n } })).toThrow(expect.objectContaining({ code: 'PINNED_WORKER_NOT_FOUND' }));
    expect(() => ask(router, prompt(1), { pin: { workerId: 1n, dpRank: 4 } })).toThrow(expect.objectContaining({ code: 'PINNED_WORKER_NOT_FOUND' }));
  });
});

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

describe('bad input', () => {
  it('is refused by a typed error', () => {
    expect(() => new KvRouter({ mode: 'kv', blockSize: 0 })).toThrow(InvalidBlockSizeError);
    expect(() => new KvRouter({ mode: 'best' as never, blockSize: 4 })).toThrow(RouterError);
    expect(() => routerWith(1, { weights: { temperature: Number.NaN } })).toThrow(expect.objectContaining({ code: 'INVALID_ROUTER_CONFIG' }));
    expect(() => routerWith(1, { weights: { temprature: 1 } as never })).toThrow(/Unknown router weight `temprature`/);
    const router = routerWith(1, { maxPromptTokens: 100 });
    expect(() => ask(router, [])).toThrow(expect.objectContaining({ code: 'EMPTY_PROMPT' }));
    expect(() => ask(router, prompt(26))).toThrow(expect.objectContaining({ code: 'PROMPT_TOO_LONG' }));
    expect(() => ask(router, prompt(1), { overrides: { temperature: -1 } })).toThrow(expect.objectContaining({ code: 'INVALID_ROUTER_CONFIG' }));
    expect(ask(router, prompt(1)).chosen.worker_id).toBe('1');
  });
});

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

describe('size', () => {
  it('a hundred thousand workers and a prompt at the limit are served', () => {
    const router = new KvRouter({ mode: 'kv', blockSize: 64, seed: 1n, decisions: 2 });
    router.setWorkers(Array.from({ length: 100_000 }, (_, i) => ({ workerId: BigInt(i) })));
    router.applyEvent(storedEvent(77_777n, 0, prompt(64), { blockSize: 64 }));
    expect(router.route({ requestId: 'r', model: MODEL, tokens: prompt(64) }).chosen.worker_id).toBe('77777');
    const longest = new Uint32Array(1 << 20);
    expect(router.route({ requestId: 'long', model: MODEL, tokens: longest, pin: { workerId: 5n } }).request_blocks).toBe(16_384);
    router.setWorkers([]);
    expect(router.indexStats()).toMatchObject({ blocks: 0, workers: [] });
  }, 60_000);
});

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
});
