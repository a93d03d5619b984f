/** Router index in C++: what `NativeAddon` offers for it. Hashes are unsigned 64-bit. All calls are synchronous and single-threaded. */
export interface NativeIndexAddon {
  PrefixIndex: new () => NativePrefixIndex;
  ActiveBlocks: new () => NativeActiveBlocks;
  /**
   * Dynamo's sequence hashes and, where `local` is given, local hashes (under `seed`) of each full block of `blockTokens`
   * tokens, written to the arrays, which have exactly one element per full block. Throws `TypeError`.
   */
  hashBlocks(tokens: Uint32Array, blockTokens: number, seed: bigint, local: BigUint64Array | undefined, sequence: BigUint64Array): void;
}

/** Slots are integers from 0 to 1,048,575. Every method throws `TypeError` for arguments of another kind. */
export interface NativePrefixIndex {
  /** 0 stored, 1 orphan, 2 self-parent. */
  store(slot: number, parent: bigint | undefined, engineHashes: BigUint64Array, localHashes: BigUint64Array, parentSequence?: bigint): 0 | 1 | 2;
  remove(slot: number, engineHashes: BigUint64Array): number;
  clear(slot: number): number;
  findMatches(sequence: BigUint64Array, overlaps: Uint32Array): void;
  matchFrom(slot: number, sequence: BigUint64Array, start: number): number;
  sequenceOf(slot: number, engineHash: bigint): bigint | undefined;
  blocksOf(slot: number): number;
  stats(): { blocks: number; holdings: number; bytes: number };
}

export interface NativeActiveBlocks {
  /** Returns what `release` wants to be told. */
  acquire(slot: number, sequence: BigUint64Array): number;
  release(slot: number, handle: number): void;
  count(slot: number): number;
  sharedPrefix(sequence: BigUint64Array, shared: Uint32Array): void;
}
