import { xxh3, xxh3View } from './xxh3.ts';

/**
 * Dynamo's two block hashes (lib/kv-router protocols.rs). Only full blocks are hashed; a tail is ignored.
 *
 * - A **local** hash is of one block's tokens alone: `XXH3_64(tokens as u32 little-endian, seed)`.
 * - A **sequence** hash commits to the whole prefix: the first equals its local hash, each later one is
 *   `XXH3_64(previous sequence hash LE8 || local hash LE8, 1337)`.
 */
export const BLOCK_HASH_SEED = 1337n;

export interface HashScope {
  /** LoRA adapter: its blocks never match the base model's. Absent and empty mean the same. */
  loraName?: string;
  /** Dynamo's cache salt or cache namespace: tenants with different salts never share blocks. */
  cacheSalt?: string;
}

export class InvalidBlockSizeError extends RangeError {
  override readonly name = 'InvalidBlockSizeError';
  readonly code = 'INVALID_BLOCK_SIZE';
  constructor(blockSize: number) {
    super(`Expected \`blockSize\` to be a positive integer of tokens, got ${String(blockSize)}`);
  }
}

/** Kept so that a faster implementation may need set-up; this one is ready at once. */
export async function initBlockHash(): Promise<void> {}

/** The seed of local hashes: 1337, plus a hash of each name that is set (wrapping). */
export function localHashSeed(scope: HashScope = {}): bigint {
  if (!scope.loraName && !scope.cacheSalt) return BLOCK_HASH_SEED;
  const utf8 = new TextEncoder();
  const lora = scope.loraName ? xxh3(utf8.encode(scope.loraName), 0n) : 0n;
  const salt = scope.cacheSalt ? xxh3(utf8.encode(scope.cacheSalt), 1n) : 0n;
  return BigInt.asUintN(64, BLOCK_HASH_SEED + lora + salt);
}

/** One hash per full block of `blockSize` tokens. Token ids are taken modulo 2^32. Throws `InvalidBlockSizeError`. */
export function localBlockHashes(tokens: ArrayLike<number>, blockSize: number, scope: HashScope = {}): BigUint64Array {
  if (!Number.isSafeInteger(blockSize) || blockSize < 1) throw new InvalidBlockSizeError(blockSize);
  const blocks = Math.floor(tokens.length / blockSize);
  const seed = localHashSeed(scope);
  const bytes = new DataView(new ArrayBuffer(4 * blockSize));
  const hashes = new BigUint64Array(blocks);
  for (let block = 0; block < blocks; block++) {
    for (let i = 0; i < blockSize; i++) bytes.setUint32(4 * i, tokens[block * blockSize + i]!, true);
    hashes[block] = xxh3View(bytes, 0, bytes.byteLength, seed);
  }
  return hashes;
}

/** Chains local hashes into sequence hashes; `parent` continues an earlier sequence. */
export function sequenceHashes(local: ArrayLike<bigint>, parent?: bigint): BigUint64Array {
  const hashes = new BigUint64Array(local.length);
  let previous = parent;
  for (let i = 0; i < local.length; i++) {
    previous = sequenceHash(previous, local[i]!);
    hashes[i] = previous;
  }
  return hashes;
}

/** One link of the chain. */
export function sequenceHash(parent: bigint | undefined, local: bigint): bigint {
  if (parent === undefined) return local;
  PAIR.setBigUint64(0, parent, true);
  PAIR.setBigUint64(8, local, true);
  return xxh3View(PAIR, 0, 16, BLOCK_HASH_SEED);
}

const PAIR = new DataView(new ArrayBuffer(16));
