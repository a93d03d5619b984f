/**
 * XXH3, 64-bit variant, any seed and any length: bit-exact with the reference (Yann Collet, xxhash 0.8, BSD-2-Clause).
 *
 * Plain BigInt arithmetic wrapped by `u64` at every step: V8 compiles that to 64-bit machine instructions,
 * so this readable form needs no WebAssembly and no set-up. The native addon holds the fast one.
 */
export function xxh3(input: Uint8Array, seed = 0n): bigint {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  return xxh3View(view, 0, input.byteLength, u64(seed));
}

/** As `xxh3`, over `length` bytes of `view` from `offset`: what callers use that hash many pieces of one buffer. */
export function xxh3View(view: DataView, offset: number, length: number, seed: bigint): bigint {
  if (length > 240) return hashLong(view, offset, length, seed);
  if (length > 128) return hash129to240(view, offset, length, seed);
  if (length > 16) return hash17to128(view, offset, length, seed);
  if (length > 8) return hash9to16(view, offset, length, seed);
  if (length >= 4) return hash4to8(view, offset, length, seed);
  if (length > 0) return hash1to3(view, offset, length, seed);
  return avalanche64(seed ^ secretWord(56) ^ secretWord(64));
}

const PRIME32_1 = 0x9e3779b1n;
const PRIME32_2 = 0x85ebca77n;
const PRIME32_3 = 0xc2b2ae3dn;
const PRIME64_1 = 0x9e3779b185ebca87n;
const PRIME64_2 = 0xc2b2ae3d27d4eb4fn;
const PRIME64_3 = 0x165667b19e3779f9n;
const PRIME64_4 = 0x85ebca77c2b2ae63n;
const PRIME64_5 = 0x27d4eb2f165667c5n;
const PRIME_MX1 = 0x165667919e3779f9n;
const PRIME_MX2 = 0x9fb21c651e98df25n;
const LOW_32 = 0xffffffffn;

/** The reference's 192 bytes of pseudo-random secret (`XXH3_kSecret`). */
const SECRET_HEX =
  'b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c' +
  '3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364' +
  'eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e';
const SECRET_BYTES = 192;
const SECRET = new DataView(new ArrayBuffer(SECRET_BYTES));
for (let i = 0; i < SECRET_BYTES; i++) SECRET.setUint8(i, Number.parseInt(SECRET_HEX.slice(2 * i, 2 * i + 2), 16));

const u64 = (value: bigint): bigint => BigInt.asUintN(64, value);
const word = (view: DataView, offset: number): bigint => view.getBigUint64(offset, true);
const secretWord = (offset: number): bigint => SECRET.getBigUint64(offset, true);
const rotateLeft = (value: bigint, bits: bigint): bigint => u64(value << bits) | (value >> (64n - bits));

/** Low and high half of the 128-bit product, xored; in 32-bit pieces so that every step fits in 64 bits. */
function multiplyFold(a: bigint, b: bigint): bigint {
  const aLow = a & LOW_32;
  const aHigh = a >> 32n;
  const bLow = b & LOW_32;
  const bHigh = b >> 32n;
  const lowLow = u64(aLow * bLow);
  const cross = u64(u64(aHigh * bLow) + (lowLow >> 32n));
  const cross2 = u64(u64(aLow * bHigh) + (cross & LOW_32));
  const high = u64(u64(u64(aHigh * bHigh) + (cross >> 32n)) + (cross2 >> 32n));
  return u64(a * b) ^ high;
}

function avalanche(hash: bigint): bigint {
  const mixed = u64((hash ^ (hash >> 37n)) * PRIME_MX1);
  return mixed ^ (mixed >> 32n);
}

/** The final mix of XXH64, which XXH3 uses for inputs of up to three bytes. */
function avalanche64(hash: bigint): bigint {
  const first = u64((hash ^ (hash >> 33n)) * PRIME64_2);
  const second = u64((first ^ (first >> 29n)) * PRIME64_3);
  return second ^ (second >> 32n);
}

function hash1to3(view: DataView, offset: number, length: number, seed: bigint): bigint {
  const first = view.getUint8(offset);
  const middle = view.getUint8(offset + (length >> 1));
  const last = view.getUint8(offset + length - 1);
  const combined = BigInt(((first << 16) | (middle << 24) | (length << 8) | last) >>> 0);
  const flip = u64(BigInt((SECRET.getUint32(0, true) ^ SECRET.getUint32(4, true)) >>> 0) + seed);
  return avalanche64(combined ^ flip);
}

function hash4to8(view: DataView, offset: number, length: number, seed: bigint): bigint {
  const swapped = new DataView(new ArrayBuffer(4));
  swapped.setUint32(0, Number(seed & LOW_32), true);
  const mixedSeed = seed ^ (BigInt(swapped.getUint32(0, false)) << 32n);
  const high = BigInt(view.getUint32(offset, true));
  const low = BigInt(view.getUint32(offset + length - 4, true));
  const flip = u64((secretWord(8) ^ secretWord(16)) - mixedSeed);
  const keyed = u64(low + (high << 32n)) ^ flip;
  const first = u64((keyed ^ rotateLeft(keyed, 49n) ^ rotateLeft(keyed, 24n)) * PRIME_MX2);
  const second = u64((first ^ u64((first >> 35n) + BigInt(length))) * PRIME_MX2);
  return second ^ (second >> 28n);
}

function hash9to16(view: DataView, offset: number, length: number, seed: bigint): bigint {
  const low = word(view, offset) ^ u64((secretWord(24) ^ secretWord(32)) + seed);
  const high = word(view, offset + length - 8) ^ u64((secretWord(40) ^ secretWord(48)) - seed);
  const swapped = new DataView(new ArrayBuffer(8));
  swapped.setBigUint64(0, low, true);
  return avalanche(u64(BigInt(length) + swapped.getBigUint64(0, false) + high + multiplyFold(low, high)));
}

function mix16(view: DataView, offset: number, secretOffset: number, seed: bigint): bigint {
  return multiplyFold(word(view, offset) ^ u64(secretWord(secretOffset) + seed), word(view, offset + 8) ^ u64(secretWord(secretOffset + 8) - seed));
}

function hash17to128(view: DataView, offset: number, length: number, seed: bigint): bigint {
  const end = offset + length;
  let sum = u64(BigInt(length) * PRIME64_1);
  for (let pair = (length - 1) >> 5; pair >= 0; pair--) {
    sum = u64(sum + mix16(view, offset + 16 * pair, 32 * pair, seed));
    sum = u64(sum + mix16(view, end - 16 * (pair + 1), 32 * pair + 16, seed));
  }
  return avalanche(sum);
}

function hash129to240(view: DataView, offset: number, length: number, seed: bigint): bigint {
  let sum = u64(BigInt(length) * PRIME64_1);
  for (let i = 0; i < 8; i++) sum = u64(sum + mix16(view, offset + 16 * i, 16 * i, seed));
  sum = avalanche(sum);
  for (let i = 8; i < length >> 4; i++) sum = u64(sum + mix16(view, offset + 16 * i, 16 * (i - 8) + 3, seed));
  return avalanche(u64(sum + mix16(view, offset + length - 16, 119, seed)));
}

const STRIPE_BYTES = 64;
const STRIPES_PER_BLOCK = (SECRET_BYTES - STRIPE_BYTES) / 8;
const BLOCK_BYTES = STRIPE_BYTES * STRIPES_PER_BLOCK;

function hashLong(view: DataView, offset: number, length: number, seed: bigint): bigint {
  const secret = seededSecret(seed);
  const lanes = new BigUint64Array([PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1]);
  const fullBlocks = Math.floor((length - 1) / BLOCK_BYTES);
  for (let block = 0; block < fullBlocks; block++) {
    const start = offset + block * BLOCK_BYTES;
    for (let i = 0; i < STRIPES_PER_BLOCK; i++) accumulate(lanes, view, start + i * STRIPE_BYTES, secret, i * 8);
    scramble(lanes, secret);
  }
  const start = offset + fullBlocks * BLOCK_BYTES;
  const stripes = Math.floor((length - 1 - fullBlocks * BLOCK_BYTES) / STRIPE_BYTES);
  for (let i = 0; i < stripes; i++) accumulate(lanes, view, start + i * STRIPE_BYTES, secret, i * 8);
  accumulate(lanes, view, offset + length - STRIPE_BYTES, secret, SECRET_BYTES - STRIPE_BYTES - 7);
  let sum = u64(BigInt(length) * PRIME64_1);
  for (let i = 0; i < 4; i++) {
    sum = u64(sum + multiplyFold(lanes[2 * i]! ^ word(secret, 11 + 16 * i), lanes[2 * i + 1]! ^ word(secret, 19 + 16 * i)));
  }
  return avalanche(sum);
}

let lastSeed = 0n;
let lastSecret = SECRET;

/** The secret with the seed worked in. One is kept: nearly all long hashes of a process share a seed. */
function seededSecret(seed: bigint): DataView {
  if (seed === 0n) return SECRET;
  if (seed === lastSeed) return lastSecret;
  const secret = new DataView(new ArrayBuffer(SECRET_BYTES));
  for (let offset = 0; offset < SECRET_BYTES; offset += 16) {
    secret.setBigUint64(offset, u64(secretWord(offset) + seed), true);
    secret.setBigUint64(offset + 8, u64(secretWord(offset + 8) - seed), true);
  }
  lastSeed = seed;
  lastSecret = secret;
  return secret;
}

function accumulate(lanes: BigUint64Array, view: DataView, offset: number, secret: DataView, secretOffset: number): void {
  for (let i = 0; i < 8; i++) {
    const value = word(view, offset + 8 * i);
    const keyed = value ^ word(secret, secretOffset + 8 * i);
    lanes[i ^ 1] = u64(lanes[i ^ 1]! + value);
    lanes[i] = u64(lanes[i]! + u64((keyed & LOW_32) * (keyed >> 32n)));
  }
}

function scramble(lanes: BigUint64Array, secret: DataView): void {
  for (let i = 0; i < 8; i++) {
    const lane = lanes[i]!;
    lanes[i] = u64((lane ^ (lane >> 47n) ^ word(secret, SECRET_BYTES - STRIPE_BYTES + 8 * i)) * PRIME32_1);
  }
}
