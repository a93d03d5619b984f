import { sequenceHash } from '../protocol/blockHash.ts';
import type { PrefixIndex, PrefixIndexStats, StoreStatus } from './prefixIndex.ts';

/** The readable prefix index: two kinds of `Map`. */
export class MapPrefixIndex implements PrefixIndex {
  /** Sequence hash → slots that hold that block. Never an empty set. */
  readonly #holders = new Map<bigint, Set<number>>();
  /** Per slot: engine hash → sequence hash. */
  readonly #known = new Map<number, Map<bigint, bigint>>();
  #holdings = 0;

  store(slot: number, parent: bigint | undefined, engineHashes: ArrayLike<bigint>, localHashes: ArrayLike<bigint>, parentSequence?: bigint): StoreStatus {
    if (namesItselfAsParent(parent, engineHashes)) return 'self-parent';
    let known = this.#known.get(slot);
    let previous = parent === undefined ? undefined : (known?.get(parent) ?? parentSequence);
    if (parent !== undefined && previous === undefined) return 'orphan';
    if (!known) this.#known.set(slot, (known = new Map()));
    for (let i = 0; i < engineHashes.length; i++) {
      const engineHash = engineHashes[i]!;
      const sequence = sequenceHash(previous, localHashes[i]!);
      const former = known.get(engineHash);
      if (former !== sequence) {
        if (former !== undefined) this.#release(slot, former);
        known.set(engineHash, sequence);
      }
      this.#hold(slot, sequence);
      previous = sequence;
    }
    return 'ok';
  }

  remove(slot: number, engineHashes: ArrayLike<bigint>): number {
    const known = this.#known.get(slot);
    let missing = 0;
    for (let i = 0; i < engineHashes.length; i++) {
      const sequence = known?.get(engineHashes[i]!);
      if (sequence === undefined) {
        missing++;
        continue;
      }
      known!.delete(engineHashes[i]!);
      this.#release(slot, sequence);
    }
    if (known?.size === 0) this.#known.delete(slot);
    return missing;
  }

  clear(slot: number): number {
    const before = this.#holdings;
    for (const sequence of this.#known.get(slot)?.values() ?? []) this.#release(slot, sequence);
    this.#known.delete(slot);
    return before - this.#holdings;
  }

  findMatches(sequence: ArrayLike<bigint>, overlaps: Uint32Array): void {
    overlaps.fill(0);
    let candidates: number[] | undefined;
    for (let depth = 0; depth < sequence.length; depth++) {
      const holders = this.#holders.get(sequence[depth]!);
      if (!holders) return;
      candidates = (candidates ?? [...holders]).filter((slot) => holders.has(slot));
      if (candidates.length === 0) return;
      for (const slot of candidates) if (slot < overlaps.length) overlaps[slot] = depth + 1;
    }
  }

  matchFrom(slot: number, sequence: ArrayLike<bigint>, start: number): number {
    let end = start;
    while (end < sequence.length && this.#holders.get(sequence[end]!)?.has(slot)) end++;
    return end - start;
  }

  sequenceOf(slot: number, engineHash: bigint): bigint | undefined {
    return this.#known.get(slot)?.get(engineHash);
  }

  blocksOf(slot: number): number {
    return this.#known.get(slot)?.size ?? 0;
  }

  stats(): PrefixIndexStats {
    return { blocks: this.#holders.size, holdings: this.#holdings };
  }

  #hold(slot: number, sequence: bigint): void {
    let holders = this.#holders.get(sequence);
    if (!holders) this.#holders.set(sequence, (holders = new Set()));
    if (holders.has(slot)) return;
    holders.add(slot);
    this.#holdings++;
  }

  #release(slot: number, sequence: bigint): void {
    const holders = this.#holders.get(sequence);
    if (!holders?.delete(slot)) return;
    this.#holdings--;
    if (holders.size === 0) this.#holders.delete(sequence);
  }
}

/** Dynamo #4394: an event with `parent_hash == block_hash` ended the indexer for every later request. */
function namesItselfAsParent(parent: bigint | undefined, engineHashes: ArrayLike<bigint>): boolean {
  let previous = parent;
  for (let i = 0; i < engineHashes.length; i++) {
    if (engineHashes[i] === previous) return true;
    previous = engineHashes[i];
  }
  return false;
}
