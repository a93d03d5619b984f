import fc from 'fast-check';
import { sequenceHashes } from '../protocol/blockHash.ts';
import type { PrefixIndex, PrefixIndexStats, StoreStatus } from './prefixIndex.ts';

/** The definition of the index, without any cleverness: what slot holds which path. For tests. */
export class NaivePrefixIndex implements PrefixIndex {
  /** Per slot: engine hash → the whole path of local hashes; and the set of held paths. */
  readonly #slots = new Map<number, { known: Map<bigint, bigint[]>; held: Set<string> }>();

  store(slot: number, parent: bigint | undefined, engineHashes: ArrayLike<bigint>, localHashes: ArrayLike<bigint>): StoreStatus {
    const state = this.#slots.get(slot) ?? { known: new Map(), held: new Set() };
    for (let i = 0; i < engineHashes.length; i++) if (engineHashes[i] === (i === 0 ? parent : engineHashes[i - 1])) return 'self-parent';
    let path = parent === undefined ? [] : state.known.get(parent);
    if (!path) return 'orphan';
    this.#slots.set(slot, state);
    for (let i = 0; i < engineHashes.length; i++) {
      path = [...path, localHashes[i]!];
      const former = state.known.get(engineHashes[i]!);
      if (former && former.join() !== path.join()) state.held.delete(former.join());
      state.known.set(engineHashes[i]!, path);
      state.held.add(path.join());
    }
    return 'ok';
  }

  remove(slot: number, engineHashes: ArrayLike<bigint>): number {
    const state = this.#slots.get(slot);
    return Array.from(engineHashes).filter((hash) => {
      const path = state?.known.get(hash);
      if (!path) return true;
      state!.known.delete(hash);
      state!.held.delete(path.join());
      return false;
    }).length;
  }

  clear(slot: number): number {
    const held = this.#slots.get(slot)?.held.size ?? 0;
    this.#slots.delete(slot);
    return held;
  }

  findMatches(sequence: ArrayLike<bigint>, overlaps: Uint32Array): void {
    for (let slot = 0; slot < overlaps.length; slot++) overlaps[slot] = this.matchFrom(slot, sequence, 0);
  }

  matchFrom(slot: number, sequence: ArrayLike<bigint>, start: number): number {
    const held = new Set(Array.from(this.#slots.get(slot)?.held ?? [], (path) => sequenceHashes(path.split(',').map(BigInt)).at(-1)));
    let end = start;
    while (end < sequence.length && held.has(sequence[end]!)) end++;
    return end - start;
  }

  sequenceOf(slot: number, engineHash: bigint): bigint | undefined {
    return sequenceHashes(this.#slots.get(slot)?.known.get(engineHash) ?? []).at(-1);
  }

  blocksOf(slot: number): number {
    return this.#slots.get(slot)?.known.size ?? 0;
  }

  stats(): PrefixIndexStats {
    const paths = [...this.#slots.values()].flatMap(({ held }) => [...held]);
    return { blocks: new Set(paths).size, holdings: paths.length };
  }
}

export type IndexOperation =
  | { kind: 'store'; slot: number; parent: bigint | undefined; engine: bigint[]; local: bigint[] }
  | { kind: 'remove'; slot: number; engine: bigint[] }
  | { kind: 'clear'; slot: number }
  | { kind: 'find'; local: bigint[]; start: number };

/** Random operations over so few hashes and slots that paths meet, branch, come back and collide. */
export function indexOperations(): fc.Arbitrary<IndexOperation[]> {
  const slot = fc.nat({ max: 3 });
  const hash = fc.bigInt({ min: 0n, max: 5n });
  const pairs = fc.array(fc.tuple(hash, hash), { minLength: 1, maxLength: 5 });
  const store = fc
    .record({ slot, parent: fc.option(hash, { nil: undefined, freq: 3 }), pairs })
    .map(({ pairs, ...rest }) => ({ kind: 'store' as const, ...rest, engine: pairs.map(([engine]) => engine), local: pairs.map(([, local]) => local) }));
  const remove = fc.record({ kind: fc.constant('remove' as const), slot, engine: fc.array(hash, { maxLength: 4 }) });
  const clear = fc.record({ kind: fc.constant('clear' as const), slot });
  const find = fc.record({ kind: fc.constant('find' as const), local: fc.array(hash, { maxLength: 6 }), start: fc.nat({ max: 3 }) });
  return fc.array(
    fc.oneof({ weight: 5, arbitrary: store }, { weight: 3, arbitrary: remove }, { weight: 1, arbitrary: clear }, { weight: 4, arbitrary: find }),
    {
      maxLength: 60,
    },
  );
}

/** What an index answers to one operation, in a form that can be compared. */
export function runOperation(index: PrefixIndex, operation: IndexOperation): unknown {
  switch (operation.kind) {
    case 'store':
      return index.store(operation.slot, operation.parent, operation.engine, operation.local);
    case 'remove':
      return index.remove(operation.slot, operation.engine);
    case 'clear':
      return index.clear(operation.slot);
    case 'find': {
      const sequence = sequenceHashes(operation.local);
      const overlaps = new Uint32Array(4);
      index.findMatches(sequence, overlaps);
      return [...overlaps, index.matchFrom(0, sequence, operation.start), index.blocksOf(1), index.sequenceOf(2, operation.local[0] ?? 0n)];
    }
  }
}
