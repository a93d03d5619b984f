/**
 * Which worker holds which block of which prefix.
 *
 * A **slot** is the small number the worker table gives to one (worker, dp rank). A **sequence hash** is the router's own
 * chained hash of a whole prefix; an **engine hash** is whatever the engine calls the same block (`ExternalSequenceBlockHash`)
 * and means something only together with its slot. Because a sequence hash commits to its whole prefix, a flat table of
 * sequence hashes answers prefix queries without a tree, so nothing but held blocks ever takes memory.
 *
 * Two implementations behave alike (`prefixIndexContract.ts`): `MapPrefixIndex` here, readable, and the native one, fast.
 * Bad input is a status, never an exception. No method keeps an array it was given.
 */
export interface PrefixIndex {
  /**
   * Blocks `engineHashes[i]` with local hashes `localHashes[i]` follow one another; the first follows `parent`,
   * an engine hash of the same slot, or starts a prefix. Where the parent is known only to the index of another cache tier,
   * `parentSequence` says what that one calls it.
   */
  store(slot: number, parent: bigint | undefined, engineHashes: ArrayLike<bigint>, localHashes: ArrayLike<bigint>, parentSequence?: bigint): StoreStatus;

  /** The sequence hash of a block that this slot holds. */
  sequenceOf(slot: number, engineHash: bigint): bigint | undefined;

  /** Returns how many of the hashes this slot did not hold. */
  remove(slot: number, engineHashes: ArrayLike<bigint>): number;

  /** Forgets everything of a slot; returns the blocks it held. */
  clear(slot: number): number;

  /**
   * For each slot below `overlaps.length`: how many leading blocks of `sequence` (the router's sequence hashes) it holds
   * without a hole. Overwrites `overlaps`.
   */
  findMatches(sequence: ArrayLike<bigint>, overlaps: Uint32Array): void;

  /** How many consecutive blocks of `sequence`, counted from `start`, this slot holds. */
  matchFrom(slot: number, sequence: ArrayLike<bigint>, start: number): number;

  /** Blocks held by one slot. */
  blocksOf(slot: number): number;

  stats(): PrefixIndexStats;
}

/** `orphan`: the parent is not held by this slot, nothing was stored. `self-parent`: a block names itself as parent, nothing was stored. */
export type StoreStatus = 'ok' | 'orphan' | 'self-parent';

export interface PrefixIndexStats {
  /** Distinct prefixes. */
  blocks: number;
  /** Pairs of (prefix, slot) that hold it. */
  holdings: number;
  /** Bytes of the tables, where the implementation can say. */
  bytes?: number;
}
