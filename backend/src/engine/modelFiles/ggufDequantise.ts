import { ggufTypes, type GgufType } from './ggufTypes.ts';

type Decode = (block: DataView, out: Float32Array, at: number) => void;

/** The numbers that stored blocks stand for, as ggml's reference `dequantize_row_*` (ggml-quants.c) computes them. `bytes` holds whole blocks. */
export function dequantise(type: GgufType, bytes: Uint8Array): Float32Array {
  const { blockElements, blockBytes } = [...ggufTypes.values()].find(({ name }) => name === type)!;
  if (bytes.length % blockBytes !== 0) throw new RangeError(`Expected whole ${type} blocks of ${blockBytes} bytes, got ${bytes.length} bytes`);
  const blocks = bytes.length / blockBytes;
  const out = new Float32Array(blocks * blockElements);
  const decode = decoders[type];
  for (let b = 0; b < blocks; b++) decode(new DataView(bytes.buffer, bytes.byteOffset + b * blockBytes, blockBytes), out, b * blockElements);
  return out;
}

const f32 = Math.fround;

const decoders: Record<GgufType, Decode> = {
  F32: (block, out, at) => void (out[at] = block.getFloat32(0, true)),
  F16: (block, out, at) => void (out[at] = half(block, 0)),
  BF16: (block, out, at) => void (out[at] = bfloat(block.getUint16(0, true))),
  Q4_0: (block, out, at) => {
    const d = half(block, 0);
    for (let j = 0; j < 16; j++) pair(out, at + j, 16, d * ((block.getUint8(2 + j) & 15) - 8), d * ((block.getUint8(2 + j) >> 4) - 8));
  },
  Q4_1: (block, out, at) => {
    const [d, m] = [half(block, 0), half(block, 2)];
    for (let j = 0; j < 16; j++) pair(out, at + j, 16, f32(d * (block.getUint8(4 + j) & 15)) + m, f32(d * (block.getUint8(4 + j) >> 4)) + m);
  },
  Q5_0: (block, out, at) => {
    const d = half(block, 0);
    for (let j = 0; j < 16; j++) {
      const [low, high] = fiveBits(block, 2, 6, j);
      pair(out, at + j, 16, d * (low - 16), d * (high - 16));
    }
  },
  Q5_1: (block, out, at) => {
    const [d, m] = [half(block, 0), half(block, 2)];
    for (let j = 0; j < 16; j++) {
      const [low, high] = fiveBits(block, 4, 8, j);
      pair(out, at + j, 16, f32(d * low) + m, f32(d * high) + m);
    }
  },
  Q8_0: (block, out, at) => {
    const d = half(block, 0);
    for (let j = 0; j < 32; j++) out[at + j] = d * block.getInt8(2 + j);
  },
  Q2_K: (block, out, at) => {
    const [d, min] = [half(block, 80), half(block, 82)];
    for (let i = 0; i < 256; i++) {
      const [half128, group, lane] = [i >> 7, (i >> 5) & 3, i & 31];
      const scale = block.getUint8((i >> 4) & 15);
      const q = (block.getUint8(16 + half128 * 32 + lane) >> (2 * group)) & 3;
      out[at + i] = f32(f32(d * (scale & 15)) * q) - f32(min * (scale >> 4));
    }
  },
  Q3_K: (block, out, at) => {
    const d = half(block, 108);
    for (let i = 0; i < 256; i++) {
      const [half128, group, lane] = [i >> 7, (i >> 5) & 3, i & 31];
      const high = (block.getUint8(lane) >> (half128 * 4 + group)) & 1;
      const q = ((block.getUint8(32 + half128 * 32 + lane) >> (2 * group)) & 3) - (high ? 0 : 4);
      out[at + i] = f32(d * (q3Scale(block, i >> 4) - 32)) * q;
    }
  },
  Q4_K: (block, out, at) => {
    for (let i = 0; i < 256; i++) {
      const [group, lane] = [i >> 5, i & 31];
      const byte = block.getUint8(16 + (group >> 1) * 32 + lane);
      out[at + i] = kValue(block, group, group & 1 ? byte >> 4 : byte & 15);
    }
  },
  Q5_K: (block, out, at) => {
    for (let i = 0; i < 256; i++) {
      const [group, lane] = [i >> 5, i & 31];
      const byte = block.getUint8(48 + (group >> 1) * 32 + lane);
      const high = (block.getUint8(16 + lane) >> group) & 1;
      out[at + i] = kValue(block, group, (group & 1 ? byte >> 4 : byte & 15) + 16 * high);
    }
  },
  Q6_K: (block, out, at) => {
    const d = half(block, 208);
    for (let i = 0; i < 256; i++) {
      const [half128, group, lane] = [i >> 7, (i >> 5) & 3, i & 31];
      const low = block.getUint8(half128 * 64 + (group & 1) * 32 + lane);
      const high = (block.getUint8(128 + half128 * 32 + lane) >> (2 * group)) & 3;
      const q = ((group < 2 ? low & 15 : low >> 4) | (high << 4)) - 32;
      out[at + i] = f32(d * block.getInt8(192 + (i >> 4))) * q;
    }
  },
};

/** Scale times quant minus minimum, of group 0–7 of a Q4_K or Q5_K block: both 6 bits wide, packed into 12 bytes (ggml `get_scale_min_k4`). */
function kValue(block: DataView, group: number, quant: number): number {
  const q = (index: number): number => block.getUint8(4 + index);
  const scale = group < 4 ? q(group) & 63 : (q(group + 4) & 15) | ((q(group - 4) >> 6) << 4);
  const min = group < 4 ? q(group + 4) & 63 : (q(group + 4) >> 4) | ((q(group) >> 6) << 4);
  return f32(f32(half(block, 0) * scale) * quant) - f32(half(block, 2) * min);
}

/** 6 bits of scale 0–15: four low ones in bytes 0–7, two high ones in bytes 8–11 (of the 12 at byte 96). */
function q3Scale(block: DataView, index: number): number {
  const low = block.getUint8(96 + (index & 7)) >> (index < 8 ? 0 : 4);
  const high = block.getUint8(104 + (index & 3)) >> (2 * (index >> 2));
  return (low & 15) | ((high & 3) << 4);
}

function fiveBits(block: DataView, highAt: number, lowAt: number, j: number): [number, number] {
  const high = block.getUint32(highAt, true);
  const byte = block.getUint8(lowAt + j);
  return [(byte & 15) | (((high >>> j) & 1) << 4), (byte >> 4) | (((high >>> (j + 16)) & 1) << 4)];
}

function pair(out: Float32Array, at: number, distance: number, low: number, high: number): void {
  out[at] = low;
  out[at + distance] = high;
}

function half(block: DataView, at: number): number {
  const bits = block.getUint16(at, true);
  const [exponent, mantissa, sign] = [(bits >> 10) & 31, bits & 1023, bits & 0x8000 ? -1 : 1];
  if (exponent === 31) return mantissa ? NaN : sign * Infinity;
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1024 + mantissa) * 2 ** (exponent - 25);
}

const word = new Uint32Array(1);
const asFloat = new Float32Array(word.buffer);
function bfloat(bits: number): number {
  word[0] = bits << 16;
  return asFloat[0]!;
}
