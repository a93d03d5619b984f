import { nativeAddon, type NativePrefixIndex } from '@dynamo-labs/native';
import { type HashScope, InvalidBlockSizeError, localHashSeed } from '../../protocol/blockHash.ts';
import type { BlockHashes, PrefixIndex, PrefixIndexStats, RouterKernels, StoreStatus } from '../index.ts';

/**
 * The router's kernels in C++. Same answers as `TYPESCRIPT_KERNELS`, many times faster:
 * `new KvRouter({ …, kernels: nativeKernels() })`. Throws `NativeLoadError` where the addon is not built.
 */
export function nativeKernels(): RouterKernels {
  const addon = nativeAddon();
  const tokensInUse = new Scratch(Uint32Array);
  const packedTokens = (tokens: ArrayLike<number>): Uint32Array => {
    if (tokens instanceof Uint32Array) return tokens;
    const packed = tokensInUse.take(tokens.length);
    for (let i = 0; i < tokens.length; i++) packed[i] = tokens[i]!;
    return packed;
  };
  const passing = new PassingHashes();
  const rows = new HugeRows((bytes) => addon.allocatePages(bytes));
  return {
    hashBlocks(tokens, blockSize, scope: HashScope, inPassing = false): BlockHashes {
      if (!Number.isSafeInteger(blockSize) || blockSize < 1) throw new InvalidBlockSizeError(blockSize);
      const blocks = Math.floor(tokens.length / blockSize);
      const seed = localHashSeed(scope);
      if (inPassing) {
        const sequence = passing.begin(blocks, (local, again) => addon.hashBlocks(packedTokens(tokens), blockSize, seed, local, again));
        addon.hashBlocks(packedTokens(tokens), blockSize, seed, undefined, sequence);
        return passing;
      }
      const local = new BigUint64Array(blocks);
      const sequence = new BigUint64Array(blocks);
      addon.hashBlocks(packedTokens(tokens), blockSize, seed, local, sequence);
      return { local, sequence };
    },
    createIndex: () => new FastPrefixIndex(new addon.PrefixIndex()),
    createActiveBlocks: () => new addon.ActiveBlocks(),
    createRows: (length) => rows.take(length),
  };
}

/** An array that is used again: valid until the next call. One per prompt would keep the garbage collector busy. */
class Scratch<Elements extends Uint32Array | BigUint64Array> {
  readonly #make: new (length: number) => Elements;
  #array: Elements;
  #view: Elements;

  constructor(make: new (length: number) => Elements) {
    this.#make = make;
    this.#array = this.#view = new make(0);
  }

  take(length: number): Elements {
    if (this.#view.length === length) return this.#view;
    if (this.#array.length < length) this.#array = new this.#make(2 * length);
    return (this.#view = this.#array.subarray(0, length) as Elements);
  }
}

/** Rows side by side in pages of 2 MiB, where the system has them: a page that has rested may be slow to touch, and there are fewer of them. */
class HugeRows {
  static readonly page = 2 << 20;
  readonly #allocate: (bytes: number) => ArrayBuffer;
  #memory = new ArrayBuffer(0);
  #used = 0;

  constructor(allocate: (bytes: number) => ArrayBuffer) {
    this.#allocate = allocate;
  }

  take(length: number): Uint32Array {
    const bytes = length * Uint32Array.BYTES_PER_ELEMENT;
    if (this.#memory.byteLength - this.#used < bytes) {
      this.#memory = this.#allocate(Math.ceil(bytes / HugeRows.page) * HugeRows.page);
      this.#used = 0;
    }
    const rows = new Uint32Array(this.#memory, this.#used, length);
    this.#used += bytes;
    return rows;
  }
}

/** The hashes of the prompt under way. Most decisions never look at the local ones, so these are worked out when asked for. */
class PassingHashes implements BlockHashes {
  readonly #scratch = new Scratch(BigUint64Array);
  #again: (local: BigUint64Array, sequence: BigUint64Array) => void = () => {};
  sequence = new BigUint64Array(0);

  begin(blocks: number, again: (local: BigUint64Array, sequence: BigUint64Array) => void): BigUint64Array {
    this.#again = again;
    return (this.sequence = this.#scratch.take(blocks));
  }

  get local(): BigUint64Array {
    const local = new BigUint64Array(this.sequence.length);
    this.#again(local, this.sequence);
    return local;
  }
}

const STORE_STATUS: readonly StoreStatus[] = ['ok', 'orphan', 'self-parent'];

/** Hands lists of bigint to the addon as typed arrays; typed arrays go through as they are. */
class FastPrefixIndex implements PrefixIndex {
  readonly #index: NativePrefixIndex;

  constructor(index: NativePrefixIndex) {
    this.#index = index;
  }

  store(slot: number, parent: bigint | undefined, engineHashes: ArrayLike<bigint>, localHashes: ArrayLike<bigint>, parentSequence?: bigint): StoreStatus {
    return STORE_STATUS[this.#index.store(slot, parent, packed(engineHashes), packed(localHashes), parentSequence)]!;
  }

  remove(slot: number, engineHashes: ArrayLike<bigint>): number {
    return this.#index.remove(slot, packed(engineHashes));
  }

  clear(slot: number): number {
    return this.#index.clear(slot);
  }

  findMatches(sequence: ArrayLike<bigint>, overlaps: Uint32Array): void {
    this.#index.findMatches(packed(sequence), overlaps);
  }

  matchFrom(slot: number, sequence: ArrayLike<bigint>, start: number): number {
    return this.#index.matchFrom(slot, packed(sequence), start);
  }

  sequenceOf(slot: number, engineHash: bigint): bigint | undefined {
    return this.#index.sequenceOf(slot, engineHash);
  }

  blocksOf(slot: number): number {
    return this.#index.blocksOf(slot);
  }

  stats(): PrefixIndexStats {
    return this.#index.stats();
  }
}

function packed(hashes: ArrayLike<bigint>): BigUint64Array {
  if (hashes instanceof BigUint64Array) return hashes;
  const array = new BigUint64Array(hashes.length);
  for (let i = 0; i < hashes.length; i++) array[i] = hashes[i]!;
  return array;
}
