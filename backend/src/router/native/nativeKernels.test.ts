import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KvRouter, MapActiveBlocks, MapPrefixIndex, TYPESCRIPT_KERNELS } from '../index.ts';
import { describePrefixIndex } from '../prefixIndexContract.ts';
import { indexOperations, runOperation } from '../prefixIndexModel.ts';
import { prompt, storedEvent } from '../routerFixture.ts';
import { nativeKernels } from './nativeKernels.ts';

const kernels = nativeKernels();

describePrefixIndex('native', () => kernels.createIndex());

describe('native kernels beside the TypeScript ones', () => {
  it('hash alike: any tokens, block size, LoRA and cache salt', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: 0xffffffff }), { maxLength: 300 }),
        fc.integer({ min: 1, max: 70 }),
        fc.record({ loraName: fc.string(), cacheSalt: fc.string() }),
        (tokens, blockSize, scope) => {
          const readable = TYPESCRIPT_KERNELS.hashBlocks(tokens, blockSize, scope);
          for (const given of [tokens, Uint32Array.from(tokens)]) {
            for (const inPassing of [false, true]) {
              const { local, sequence } = kernels.hashBlocks(given, blockSize, scope, inPassing);
              expect({ local, sequence }).toEqual(readable);
            }
          }
        },
      ),
    );
  });

  it('index alike, operation by operation', () => {
    fc.assert(
      fc.property(indexOperations(), (operations) => {
        const [fast, readable] = [kernels.createIndex(), new MapPrefixIndex()];
        for (const operation of operations) expect(runOperation(fast, operation)).toEqual(runOperation(readable, operation));
        expect(fast.stats()).toMatchObject(readable.stats());
      }),
      { numRuns: 1000 },
    );
  });

  it('count active blocks alike', () => {
    const sequence = fc.array(fc.bigInt({ min: 0n, max: 2n }), { maxLength: 5 }).map((local) => prefixes(local));
    const step = fc.record({ slot: fc.nat({ max: 3 }), sequence, end: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const [fast, readable] = [kernels.createActiveBlocks(), new MapActiveBlocks()];
        const running: { slot: number; handles: number[] }[] = [];
        for (const { slot, sequence, end } of steps) {
          const ended = end ? running.pop() : undefined;
          const both = [fast, readable];
          if (ended) both.forEach((blocks, i) => blocks.release(ended.slot, ended.handles[i]!));
          else running.push({ slot, handles: both.map((blocks) => blocks.acquire(slot, sequence)) });
          const [ours, theirs] = [new Uint32Array(4), new Uint32Array(4)];
          fast.sharedPrefix(sequence, ours);
          readable.sharedPrefix(sequence, theirs);
          expect(ours).toEqual(theirs);
          for (let at = 0; at < 4; at++) expect(fast.count(at)).toBe(readable.count(at));
        }
      }),
    );
  });

  it('give a router the same decisions', () => {
    const decide = (router: KvRouter): unknown[] => {
      router.setWorkers([1n, 2n, 3n].map((workerId) => ({ workerId, dpRanks: 2 })));
      return Array.from({ length: 60 }, (_, i) => {
        router.applyEvent(storedEvent(BigInt((i % 3) + 1), Math.floor(i / 3), prompt((i % 7) + 1, (i % 4) * 40)));
        const { candidates, chosen } = router.route({ requestId: `r${i}`, model: 'm', tokens: prompt(6, (i % 4) * 40) });
        if (i % 2 === 0) router.free(`r${i}`);
        return { candidates, chosen };
      });
    };
    const options = { mode: 'kv', blockSize: 4, seed: 5n } as const;
    expect(decide(new KvRouter({ ...options, kernels }))).toEqual(decide(new KvRouter(options)));
  });

  it('refuse arguments of another kind by name', () => {
    const index = kernels.createIndex();
    expect(() => index.store(-1, undefined, [1n], [1n])).toThrow(/Expected `slot` to be an integer/);
    expect(() => index.store(0, undefined, [1n, 2n], [1n])).toThrow(/Expected `localHashes` to be as long/);
    expect(() => index.store(0, -1n, [1n], [1n])).toThrow(/Expected `parent` to be an unsigned 64-bit bigint/);
    expect(() => index.findMatches([1n], new Uint16Array(2) as never)).toThrow(/Expected `overlaps` to be a Uint32Array/);
    expect(() => kernels.hashBlocks([1], 0, {})).toThrow(RangeError);
  });
});

/** A sequence as running prompts have it: each value stands for the whole prefix before it. */
function prefixes(local: bigint[]): BigUint64Array {
  let path = 1n;
  return BigUint64Array.from(local, (value) => (path = path * 3n + value));
}
