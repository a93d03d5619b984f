import { nativeAddon, type NativePrefixIndex } from '@dynamo-labs/native';
import { type HashScope, InvalidBlockSizeError, localHashSeed } from '../../protocol/blockHash.ts';
import type { BlockHashes, PrefixIndex, PrefixIndexStats, RouterKernels, StoreStatus } from '../index.ts';

/**
 * The router's kernels in C++. Same answers as `TYPESCRIPT_KERNELS`, many times faster:
 * `new KvRouter({ …, kernels: nativeKernels() })`. Throws `NativeLoadError` where the addon is not built.
 */
export function nativeKernels(): RouterKernels {
  const addon = nativeAddon();
  let scratch = new Uint32Array(0);
  /** Valid until the next call: an array per prompt would keep the garbage collector busy. */
  const packedTokens = (tokens: ArrayLike<number>): Uint32Array => {
    if (tokens instanceof Uint32Array) return tokens;
    if (scratch.length < tokens.length) scratch = new Uint32Array(2 * tokens.length);
    for (let i = 0; i < tokens.length; i++) scratch[i] = tokens[i]!;
    return scratch.subarray(0, tokens.length);
  };
  let passing = new BigUint64Array(0);
  const passingHashes = (blocks: number): BigUint64Array => {
    if (passing.length < blocks) passing = new BigUint64Array(2 * blocks);
    return passing.subarray(0, blocks);
  };
  return {
    hashBlocks(tokens, blockSize, scope: HashScope, inPassing = false): BlockHashes {
      if (!Number.isSafeInteger(blockSize) || blockSize < 1) throw new InvalidBlockSizeError(blockSize);
      const blocks = Math.floor(tokens.length / blockSize);
      const seed = localHashSeed(scope);
      const sequence = inPassing ? passingHashes(blocks) : new BigUint64Array(blocks);
      if (!inPassing) {
        const local = new BigUint64Array(blocks);
        addon.hashBlocks(packedTokens(tokens), blockSize, seed, local, sequence);
        return { local, sequence };
      }
      addon.hashBlocks(packedTokens(tokens), blockSize, seed, undefined, sequence);
      return {
        sequence,
        /** Most decisions never look at these, so they are worked out when asked for. */
        get local() {
          const local = new BigUint64Array(blocks);
          addon.hashBlocks(packedTokens(tokens), blockSize, seed, local, sequence);
          return local;
        },
      };
    },
    createIndex: () => new FastPrefixIndex(new addon.PrefixIndex()),
    createActiveBlocks: () => new addon.ActiveBlocks(),
  };
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
