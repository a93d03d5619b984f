import { readFileSync, writeFileSync } from 'node:fs';
import { describeModel } from '../modelFiles/index.ts';

type Metadata = Record<string, number | string | boolean | string[]>;
export type WrittenType = 'F32' | 'F16' | 'BF16' | 'Q8_0' | 'Q4_1';
const typeIds: Record<WrittenType, number> = { F32: 0, F16: 1, BF16: 30, Q8_0: 8, Q4_1: 3 };

export interface WrittenTensor {
  name: string;
  /** Rows first. */
  shape: number[];
  typeId: number;
  data: Buffer;
}

/** A GGUF version 3 file, little endian, alignment 32. */
export function writeGguf(file: string, metadata: Metadata, tensors: WrittenTensor[]): void {
  const parts: Buffer[] = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(Object.keys(metadata).length)];
  for (const [key, value] of Object.entries(metadata)) parts.push(string(key), ...typed(value));
  let offset = 0;
  for (const tensor of tensors) {
    parts.push(string(tensor.name), u32(tensor.shape.length), ...tensor.shape.toReversed().map(u64), u32(tensor.typeId), u64(offset));
    offset += Math.ceil(tensor.data.length / 32) * 32;
  }
  const header = Buffer.concat(parts);
  const padded = (data: Buffer): Buffer => Buffer.concat([data, Buffer.alloc((32 - (data.length % 32)) % 32)]);
  writeFileSync(file, Buffer.concat([padded(header), ...tensors.map((tensor) => padded(tensor.data))]));
}

/**
 * The generated llama model as llama.cpp would store it: its own names, q and k rows interleaved, matrices in `type`, vectors in F32. `asQuantised`: the
 * matrices' values are those that quantising would leave.
 */
export function writeTinyGguf(modelDir: string, file: string, type: WrittenType, asQuantised?: 'Q8_0' | 'Q4_1'): void {
  const { spec, tensors, files, contextLength } = describeModel(modelDir);
  const bytes = readFileSync(files[0]!);
  const written = tensors.map((tensor): WrittenTensor => {
    const words = new Uint16Array(bytes.buffer.slice(bytes.byteOffset + tensor.offset, bytes.byteOffset + tensor.offset + tensor.rows * tensor.cols * 2));
    const values32 = new Float32Array(Uint32Array.from(words, (word) => word << 16).buffer);
    const inOrder = Array.from({ length: tensor.rows }, (_, r) => values32.subarray(r * tensor.cols, (r + 1) * tensor.cols));
    const name = ggufName(tensor.name);
    const rows = /attn_[qk]\.weight/.test(name) ? interleave(inOrder, spec.headDim) : inOrder;
    const isVector = tensor.rows === 1;
    const stored = isVector ? 'F32' : type;
    const values = asQuantised && !isVector ? rows.map((row) => quantisedValues(row, asQuantised)) : rows;
    return {
      name,
      shape: isVector ? [tensor.cols] : [tensor.rows, tensor.cols],
      typeId: typeIds[stored],
      data: Buffer.concat(values.map((row) => encode(row, stored))),
    };
  });
  writeGguf(
    file,
    {
      'general.architecture': 'llama',
      'general.name': 'tiny',
      'llama.block_count': spec.layers,
      'llama.context_length': contextLength,
      'llama.embedding_length': spec.hiddenSize,
      'llama.feed_forward_length': spec.ffnSize,
      'llama.attention.head_count': spec.heads,
      'llama.attention.head_count_kv': spec.kvHeads,
      'llama.attention.key_length': spec.headDim,
      'llama.attention.layer_norm_rms_epsilon': spec.rmsEps,
      'llama.rope.freq_base': 1e6,
      'tokenizer.ggml.eos_token_id': 511,
    },
    written,
  );
}

function ggufName(hf: string): string {
  const whole: Record<string, string> = { 'model.embed_tokens.weight': 'token_embd.weight', 'model.norm.weight': 'output_norm.weight' };
  const parts: Record<string, string> = {
    input_layernorm: 'attn_norm',
    post_attention_layernorm: 'ffn_norm',
    'self_attn.q_proj': 'attn_q',
    'self_attn.k_proj': 'attn_k',
    'self_attn.v_proj': 'attn_v',
    'self_attn.o_proj': 'attn_output',
    'mlp.gate_proj': 'ffn_gate',
    'mlp.up_proj': 'ffn_up',
    'mlp.down_proj': 'ffn_down',
  };
  const match = /^model\.layers\.(\d+)\.(.+)\.weight$/.exec(hf);
  return whole[hf] ?? `blk.${match![1]}.${parts[match![2]!]}.weight`;
}

/** Row (head, half, i) goes to (head, i, half). */
function interleave(rows: Float32Array[], headDim: number): Float32Array[] {
  return rows.map((_, to) => {
    const [head, x] = [Math.floor(to / headDim), to % headDim];
    return rows[head * headDim + (x % 2) * (headDim / 2) + Math.floor(x / 2)]!;
  });
}

function encode(row: Float32Array, type: WrittenType): Buffer {
  if (type === 'F32') return Buffer.from(row.buffer.slice(row.byteOffset, row.byteOffset + row.byteLength));
  if (type === 'BF16') return Buffer.from(Uint16Array.from(new Uint32Array(row.slice().buffer), (bits) => bits >>> 16).buffer);
  if (type === 'F16') return Buffer.from(Uint16Array.from(row, half).buffer);
  const groups = Array.from({ length: row.length / 32 }, (_, g) => [...row.subarray(g * 32, g * 32 + 32)]);
  return Buffer.concat(groups.map(type === 'Q8_0' ? encodeQ8 : encodeQ4));
}

function encodeQ8(group: number[]): Buffer {
  const scale = Math.max(...group.map(Math.abs)) / 127;
  return Buffer.concat([u16(half(scale)), Buffer.from(Int8Array.from(group, (value) => Math.round(value / scale)).buffer)]);
}

function encodeQ4(group: number[]): Buffer {
  const lowest = Math.min(...group);
  const scale = (Math.max(...group) - lowest) / 15;
  const quants = group.map((value) => Math.min(15, Math.max(0, Math.round((value - lowest) / scale))));
  return Buffer.concat([u16(half(scale)), u16(half(lowest)), Buffer.from(Array.from({ length: 16 }, (_, j) => quants[j]! | (quants[j + 16]! << 4)))]);
}

/** What ggml's reference makes of a quantised row: scale * quant (+ minimum), rounded once. */
function quantisedValues(row: Float32Array, type: 'Q8_0' | 'Q4_1'): Float32Array {
  const bytes = encode(row, type);
  return row.map((_, i) => {
    const at = Math.floor(i / 32) * (type === 'Q8_0' ? 34 : 20);
    const scale = unhalf(bytes.readUInt16LE(at));
    if (type === 'Q8_0') return scale * bytes.readInt8(at + 2 + (i % 32));
    const pair = bytes[at + 4 + (i % 16)]!;
    return scale * (i % 32 < 16 ? pair & 15 : pair >> 4) + unhalf(bytes.readUInt16LE(at + 2));
  });
}

function unhalf(bits: number): number {
  const exponent = (bits >> 10) & 31;
  return exponent === 0 ? 0 : (bits & 0x8000 ? -1 : 1) * 2 ** (exponent - 15) * (1 + (bits & 1023) / 1024);
}

/** Nearest f16 of a normal number; smaller ones become 0. */
function half(value: number): number {
  if (Math.abs(value) < 2 ** -14) return 0;
  const exponent = Math.floor(Math.log2(Math.abs(value)));
  const mantissa = Math.round((Math.abs(value) / 2 ** exponent - 1) * 1024);
  return (value < 0 ? 0x8000 : 0) | (((exponent + 15) << 10) + mantissa);
}

function typed(value: Metadata[string]): Buffer[] {
  if (typeof value === 'string') return [u32(8), string(value)];
  if (typeof value === 'boolean') return [u32(7), Buffer.from([Number(value)])];
  if (Array.isArray(value)) return [u32(9), u32(8), u64(value.length), ...value.map(string)];
  if (Number.isInteger(value)) return [u32(4), u32(value)];
  const float = Buffer.alloc(4);
  float.writeFloatLE(value);
  return [u32(6), float];
}
function u16(value: number): Buffer {
  const buffer = Buffer.alloc(2);
  buffer.writeUInt16LE(value);
  return buffer;
}
function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}
function u64(value: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt(value));
  return buffer;
}
function string(value: string): Buffer {
  return Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
}
