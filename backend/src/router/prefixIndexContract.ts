import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sequenceHashes } from '../protocol/blockHash.ts';
import type { PrefixIndex } from './prefixIndex.ts';
import { indexOperations, type IndexOperation, NaivePrefixIndex, runOperation } from './prefixIndexModel.ts';

/** What every `PrefixIndex` must do; each implementation's test calls this with its own factory. */
export function describePrefixIndex(name: string, create: () => PrefixIndex): void {
  const local = (...values: number[]): bigint[] => values.map(BigInt);
  const engine = (slot: number, ...values: number[]): bigint[] => values.map((value) => BigInt(slot * 1000 + value));
  const overlapsOf = (index: PrefixIndex, values: bigint[], slots = 4): number[] => {
    const overlaps = new Uint32Array(slots);
    index.findMatches(sequenceHashes(values), overlaps);
    return [...overlaps];
  };

  describe(`${name}: prefix index`, () => {
    it('finds how much of a prefix each slot holds', () => {
      const index = create();
      expect(index.store(0, undefined, engine(0, 1, 2, 3), local(1, 2, 3))).toBe('ok');
      expect(index.store(2, undefined, engine(2, 1, 2), local(1, 2))).toBe('ok');
      expect(overlapsOf(index, local(1, 2, 3, 4))).toEqual([3, 0, 2, 0]);
      expect(overlapsOf(index, local(1, 9, 3))).toEqual([1, 0, 1, 0]);
      expect(overlapsOf(index, local(2, 3))).toEqual([0, 0, 0, 0]);
      expect(overlapsOf(index, [])).toEqual([0, 0, 0, 0]);
      expect(index.stats()).toMatchObject({ blocks: 3, holdings: 5 });
      expect(index.blocksOf(0)).toBe(3);
    });

    it('tells branches with equal local hashes apart by their prefix', () => {
      const index = create();
      index.store(0, undefined, engine(0, 1, 2), local(1, 7));
      index.store(1, undefined, engine(1, 1, 2), local(2, 7));
      expect(overlapsOf(index, local(1, 7))).toEqual([2, 0, 0, 0]);
      expect(overlapsOf(index, local(2, 7))).toEqual([0, 2, 0, 0]);
      expect(overlapsOf(index, local(7))).toEqual([0, 0, 0, 0]);
    });

    it('goes on from a parent, and refuses a parent that this slot does not hold', () => {
      const index = create();
      index.store(0, undefined, engine(0, 1), local(1));
      expect(index.store(0, engine(0, 1)[0], engine(0, 2), local(2))).toBe('ok');
      expect(index.store(1, engine(0, 1)[0], engine(1, 2), local(2))).toBe('orphan');
      expect(index.store(0, 12345n, engine(0, 3), local(3))).toBe('orphan');
      expect(overlapsOf(index, local(1, 2))).toEqual([2, 0, 0, 0]);
      expect(index.stats()).toMatchObject({ holdings: 2 });
    });

    it('goes on from a parent that only another tier knows', () => {
      const [device, host] = [create(), create()];
      device.store(0, undefined, engine(0, 1, 2), local(1, 2));
      const parent = engine(0, 2)[0]!;
      expect(host.store(0, parent, engine(0, 3), local(3))).toBe('orphan');
      expect(host.store(0, parent, engine(0, 3), local(3), device.sequenceOf(0, parent))).toBe('ok');
      expect(host.matchFrom(0, sequenceHashes(local(1, 2, 3)), 2)).toBe(1);
      expect(host.sequenceOf(0, engine(0, 3)[0]!)).toBe(sequenceHashes(local(1, 2, 3))[2]);
      expect(host.sequenceOf(1, engine(0, 3)[0]!)).toBeUndefined();
    });

    it('refuses a block that names itself as parent', () => {
      const index = create();
      expect(index.store(0, 5n, [5n], [5n])).toBe('self-parent');
      expect(index.store(0, undefined, [5n, 5n], [1n, 2n])).toBe('self-parent');
      expect(index.stats()).toMatchObject({ blocks: 0, holdings: 0 });
    });

    it('a removed block leaves a hole that a new store of it closes', () => {
      const index = create();
      index.store(0, undefined, engine(0, 1, 2, 3), local(1, 2, 3));
      expect(index.remove(0, engine(0, 2, 9))).toBe(1);
      expect(overlapsOf(index, local(1, 2, 3))).toEqual([1, 0, 0, 0]);
      expect(index.matchFrom(0, sequenceHashes(local(1, 2, 3)), 2)).toBe(1);
      expect(index.matchFrom(0, sequenceHashes(local(1, 2, 3)), 1)).toBe(0);
      index.store(0, engine(0, 1)[0], engine(0, 2), local(2));
      expect(overlapsOf(index, local(1, 2, 3))).toEqual([3, 0, 0, 0]);
    });

    it('a block stored twice is held once', () => {
      const index = create();
      index.store(0, undefined, engine(0, 1, 2), local(1, 2));
      index.store(0, undefined, engine(0, 1, 2), local(1, 2));
      expect(index.stats()).toMatchObject({ blocks: 2, holdings: 2 });
      expect(index.remove(0, engine(0, 1, 2))).toBe(0);
      expect(index.remove(0, engine(0, 1, 2))).toBe(2);
      expect(index.stats()).toMatchObject({ blocks: 0, holdings: 0 });
    });

    it('an engine hash that comes back for another block names the new one only', () => {
      const index = create();
      index.store(0, undefined, engine(0, 1), local(1));
      index.store(0, undefined, engine(0, 1), local(2));
      expect(overlapsOf(index, local(1))).toEqual([0, 0, 0, 0]);
      expect(overlapsOf(index, local(2))).toEqual([1, 0, 0, 0]);
      expect(index.stats()).toMatchObject({ blocks: 1, holdings: 1 });
    });

    it('clear forgets one slot and leaves the others', () => {
      const index = create();
      index.store(0, undefined, engine(0, 1, 2), local(1, 2));
      index.store(1, undefined, engine(1, 1, 2, 3), local(1, 2, 3));
      expect(index.clear(1)).toBe(3);
      expect(index.clear(1)).toBe(0);
      expect(overlapsOf(index, local(1, 2, 3))).toEqual([2, 0, 0, 0]);
      expect(index.stats()).toMatchObject({ blocks: 2, holdings: 2 });
    });

    it('holds for slots far apart and for many of them', () => {
      const index = create();
      const slots = [0, 1, 63, 64, 65, 127, 128, 500, 1023];
      for (const slot of slots) index.store(slot, undefined, engine(slot, 1, 2), local(1, 2));
      const overlaps = overlapsOf(index, local(1, 2), 1024);
      expect(overlaps.flatMap((overlap, slot) => (overlap === 2 ? [slot] : []))).toEqual(slots);
      expect(overlapsOf(index, local(1, 2), 64).filter((overlap) => overlap === 2)).toHaveLength(3);
      for (const slot of slots) expect(index.remove(slot, engine(slot, 1, 2))).toBe(0);
      expect(index.stats()).toMatchObject({ blocks: 0, holdings: 0 });
    });

    it('takes the extreme hash values', () => {
      const index = create();
      const top = 0xffffffffffffffffn;
      expect(index.store(0, undefined, [0n, top], [0n, top])).toBe('ok');
      expect(index.store(0, top, [1n], [0n])).toBe('ok');
      expect(overlapsOf(index, [0n, top, 0n])).toEqual([3, 0, 0, 0]);
      expect(index.remove(0, [0n, top, 1n])).toBe(0);
      expect(index.stats()).toMatchObject({ blocks: 0, holdings: 0 });
    });

    it('agrees with the naive model after any sequence of operations', () => {
      fc.assert(
        fc.property(indexOperations(), (operations: IndexOperation[]) => {
          const index = create();
          const model = new NaivePrefixIndex();
          for (const operation of operations) expect(runOperation(index, operation)).toEqual(runOperation(model, operation));
          expect(index.stats()).toMatchObject({ blocks: model.stats().blocks, holdings: model.stats().holdings });
          for (let slot = 0; slot < 4; slot++) index.clear(slot);
          expect(index.stats()).toMatchObject({ blocks: 0, holdings: 0 });
        }),
        { numRuns: 300 },
      );
    });

    it('gives memory back over a million store and remove cycles', () => {
      const index = create();
      let peak = 0;
      for (let round = 0; round < 20_000; round++) {
        const hashes = Array.from({ length: 50 }, (_, i) => BigInt(round * 50 + i + 1));
        index.store(round % 8, undefined, hashes, hashes);
        peak = Math.max(peak, index.stats().bytes ?? 0);
        expect(index.remove(round % 8, hashes)).toBe(0);
      }
      expect(index.stats()).toMatchObject({ blocks: 0, holdings: 0 });
      expect(peak).toBeLessThan(1 << 20);
    }, 120_000);
  });
}
