import { describe, expect, it } from 'vitest';
import { InvalidBlockSizeError } from '../protocol/blockHash.ts';
import { KvRouter } from './kvRouter.ts';
import { RouterError } from './routerError.ts';
import { MODEL, ask, overlaps, prompt, routerWith, storedEvent } from './routerFixture.ts';

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
