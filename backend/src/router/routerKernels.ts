import { type HashScope, localBlockHashes, sequenceHashes } from '../protocol/blockHash.ts';
import { type ActiveBlocks, MapActiveBlocks } from './activeBlocks.ts';
import { MapPrefixIndex } from './mapPrefixIndex.ts';
import type { PrefixIndex } from './prefixIndex.ts';

/** The parts of the router whose speed matters. The native addon brings its own; these are the readable ones. */
export interface RouterKernels {
  /** What `inPassing` returns is valid until the next call: most hashes are looked at once, and arrays are dear. */
  hashBlocks(tokens: ArrayLike<number>, blockSize: number, scope: HashScope, inPassing?: boolean): BlockHashes;
  createIndex(): PrefixIndex;
  createActiveBlocks(): ActiveBlocks;
  /** Memory of zeros, for tables that are filled over and over. */
  createRows(length: number): Uint32Array;
}

export interface BlockHashes {
  /** May be worked out anew at each reading: keep what is read. */
  readonly local: BigUint64Array;
  readonly sequence: BigUint64Array;
}

export const TYPESCRIPT_KERNELS: RouterKernels = {
  hashBlocks(tokens, blockSize, scope) {
    const local = localBlockHashes(tokens, blockSize, scope);
    return { local, sequence: sequenceHashes(local) };
  },
  createIndex: () => new MapPrefixIndex(),
  createActiveBlocks: () => new MapActiveBlocks(),
  createRows: (length) => new Uint32Array(length),
};
