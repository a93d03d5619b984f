import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RouterEvent } from '../protocol/index.ts';
import { KvRouter } from './kvRouter.ts';
import { clearedEvent, prompt, removedEvent, storedEvent } from './routerFixture.ts';
import { localBlockHashes, sequenceHashes } from '../protocol/blockHash.ts';

const WORKERS = 4;
const everyone = (): { workerId: bigint }[] => Array.from({ length: WORKERS }, (_, i) => ({ workerId: BigInt(i) }));

const worker = fc.bigInt({ min: 0n, max: BigInt(WORKERS) });
const eventId = fc.oneof(fc.nat({ max: 8 }), fc.nat());
const tokens = fc.tuple(fc.integer({ min: 1, max: 6 }), fc.nat({ max: 2 })).map(([blocks, from]) => prompt(blocks, from));
const validEvent = fc.oneof(
  fc
    .tuple(worker, eventId, tokens, fc.nat({ max: 2 }), fc.nat({ max: 1 }))
    .map(([w, id, t, fromBlock, dpRank]) => storedEvent(w, id, t, { fromBlock, dpRank })),
  fc.tuple(worker, eventId, tokens).map(([w, id, t]) => removedEvent(w, id, [...sequenceHashes(localBlockHashes(t, 4))].slice(-2))),
  fc.tuple(worker, eventId).map(([w, id]) => clearedEvent(w, id)),
);
const hugeOrNegative = fc.bigInt({ min: -1n, max: 1n << 65n });
const anyEvent = fc.oneof(
  validEvent,
  fc.anything().map((value) => value as RouterEvent),
  fc.tuple(worker, fc.anything()).map(([workerId, event]) => ({ workerId, storageTier: 'device', event }) as RouterEvent),
  fc.tuple(worker, eventId, hugeOrNegative).map(([w, id, hash]) => removedEvent(w, id, [hash])),
);

type Step =
  | { do: 'event'; event: RouterEvent }
  | { do: 'route'; tokens: number[]; queryOnly: boolean }
  | { do: 'end'; which: number; how: 'prefill' | 'free' | 'output' }
  | { do: 'workers'; present: boolean[] };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: anyEvent.map((event) => ({ do: 'event' as const, event })) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('route' as const), tokens, queryOnly: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('end' as const),
      which: fc.nat({ max: 9 }),
      how: fc.constantFrom('prefill' as const, 'free' as const, 'output' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('workers' as const), present: fc.array(fc.boolean(), { minLength: WORKERS, maxLength: WORKERS }) }) },
);

describe('KvRouter, whatever happens', () => {
  it('goes on serving, never chooses a removed worker, and ends with no load and no memory', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.constantFrom('kv' as const, 'least-loaded' as const, 'power-of-two' as const), (steps, mode) => {
        const router = new KvRouter({ mode, blockSize: 4, seed: 1n });
        let present = everyone();
        router.setWorkers(present);
        let routed = 0;
        for (const now of steps) {
          if (now.do === 'event') router.applyEvent(now.event);
          if (now.do === 'end' && now.how === 'prefill') router.prefillCompleted(`r${now.which}`);
          if (now.do === 'end' && now.how === 'free') router.free(`r${now.which}`);
          if (now.do === 'end' && now.how === 'output') router.outputBlocks(`r${now.which}`, now.which);
          if (now.do === 'workers') router.setWorkers((present = everyone().filter((_, i) => now.present[i])));
          if (now.do === 'route' && present.length > 0) {
            const { chosen, candidates } = router.route({ requestId: `r${routed++}`, model: 'm', tokens: now.tokens, queryOnly: now.queryOnly });
            expect(present.map(({ workerId }) => workerId.toString())).toContain(chosen.worker_id);
            for (const { overlap_blocks, cost } of candidates) {
              expect(overlap_blocks).toBeLessThanOrEqual(now.tokens.length / 4);
              expect(cost === null || (Number.isFinite(cost) && cost >= 0)).toBe(true);
            }
          }
        }
        router.setWorkers(everyone());
        expect(router.route({ requestId: 'last', model: 'm', tokens: prompt(1) }).chosen.worker_id).toBeDefined();
        router.free('last');
        for (let i = 0; i < routed; i++) router.free(`r${i}`);
        for (const load of router.loads()) expect(load).toMatchObject({ activePrefillTokens: 0, activeDecodeBlocks: 0, activeRequests: 0 });
        router.setWorkers([]);
        expect(router.indexStats()).toMatchObject({ blocks: 0, holdings: 0 });
      }),
      { numRuns: 400 },
    );
  });

  it('never reports more overlap than was stored', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat({ max: WORKERS - 1 }), tokens), { maxLength: 20 }), tokens, (stores, asked) => {
        const router = new KvRouter({ mode: 'kv', blockSize: 4, seed: 1n });
        router.setWorkers(everyone());
        const held = everyone().map(() => new Set<bigint>());
        for (const [i, [w, stored]] of stores.entries()) {
          router.applyEvent(storedEvent(BigInt(w), i, stored));
          for (const hash of sequenceHashes(localBlockHashes(stored, 4))) held[w]!.add(hash);
        }
        const sequence = [...sequenceHashes(localBlockHashes(asked, 4))];
        const { candidates } = router.route({ requestId: 'r', model: 'm', tokens: asked });
        for (const [w, { overlap_blocks }] of candidates.entries()) {
          expect(sequence.slice(0, overlap_blocks).every((hash) => held[w]!.has(hash))).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });
});
