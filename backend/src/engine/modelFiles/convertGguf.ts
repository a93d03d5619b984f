import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { dequantise } from './ggufDequantise.ts';
import { readGguf, type GgufFile, type GgufTensor } from './ggufFile.ts';
import { elements, ggufShape, hfTensor, readTensorBytes, weights } from './ggufModel.ts';
import type { ModelDescription } from './modelDescription.ts';
import { ModelFileError } from './modelFileError.ts';
import { ropeFrequencies, type Llama3RopeScaling } from './ropeFrequencies.ts';

export interface ConvertGgufOptions {
  /** Of the matrices; vectors stay F32. F16 keeps ten bits of each number, BF16 seven. Default `F16`. */
  dtype?: 'F16' | 'F32';
}

/**
 * Writes a GGUF of any readable type as a Hugging Face folder: config.json and model.safetensors. The tokenizer's files come from `ggufTokenizer`.
 * Throws {@link ModelFileError}; a number that F16 cannot hold is refused by its tensor.
 */
export function convertGguf(file: string, dir: string, { dtype = 'F16' }: ConvertGgufOptions = {}): void {
  const gguf = readGguf(file);
  const shape = ggufShape(gguf);
  mkdirSync(dir, { recursive: true });
  writeFileSync(path.join(dir, 'config.json'), JSON.stringify(hfConfig(gguf, shape), null, 2));
  const header: Record<string, object> = { __metadata__: { format: 'pt' } };
  let offset = 0;
  const planned = weights(gguf).map((tensor) => {
    const { name, interleavedHeads } = hfTensor(file, tensor, shape);
    const type = tensor.shape.length === 1 ? 'F32' : dtype;
    header[name] = { dtype: type, shape: tensor.shape, data_offsets: [offset, (offset += elements(tensor) * (type === 'F32' ? 4 : 2))] };
    return { tensor, interleavedHeads, type };
  });
  const json = JSON.stringify(header);
  const padded = Buffer.from(json.padEnd(Math.ceil((json.length + 8) / 64) * 64 - 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const fd = openSync(path.join(dir, 'model.safetensors'), 'w');
  try {
    writeAll(fd, Buffer.concat([length, padded]));
    for (const { tensor, interleavedHeads, type } of planned) {
      const values = inHfOrder(dequantise(tensor.type, readTensorBytes(file, tensor.offset, tensor.bytes)), tensor, interleavedHeads);
      writeAll(fd, type === 'F32' ? Buffer.from(values.buffer, values.byteOffset, values.byteLength) : asHalves(values, file, tensor.name));
    }
  } finally {
    closeSync(fd);
  }
}

function hfConfig(gguf: GgufFile, { architecture, contextLength, eosTokenIds, spec }: Omit<ModelDescription, 'files' | 'tensors'>): object {
  const theta = Number(gguf.metadata.get(`${architecture}.rope.freq_base`) ?? 10000);
  return {
    model_type: architecture,
    hidden_act: 'silu',
    vocab_size: spec.vocabSize,
    hidden_size: spec.hiddenSize,
    num_hidden_layers: spec.layers,
    num_attention_heads: spec.heads,
    num_key_value_heads: spec.kvHeads,
    head_dim: spec.headDim,
    intermediate_size: spec.ffnSize,
    max_position_embeddings: contextLength,
    rms_norm_eps: spec.rmsEps,
    rope_theta: theta,
    rope_scaling: ropeScaling(gguf.path, spec, theta),
    tie_word_embeddings: spec.tiedEmbedding,
    eos_token_id: eosTokenIds,
  };
}

/** The file has the frequencies that Llama 3's rule gave, a config.json wants the rule: it is found, and taken only if it gives these frequencies. */
function ropeScaling(
  file: string,
  { headDim, inverseFrequencies }: ModelDescription['spec'],
  theta: number,
): (Llama3RopeScaling & { rope_type: string }) | null {
  const plain = ropeFrequencies(headDim, theta);
  const stretch = plain.map((frequency, i) => frequency / inverseFrequencies[i]!);
  const factor = Math.round(Math.max(...stretch));
  if (factor === 1) return null;
  const rule = { factor, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };
  const same = ropeFrequencies(headDim, theta, rule).every((frequency, i) => Math.abs(frequency / inverseFrequencies[i]! - 1) < 1e-4);
  if (!same) throw new ModelFileError('UNSUPPORTED_FIELD', file, 'rope_freqs.weight', 'does not follow the rule of Llama 3.1 to 3.3');
  return { rope_type: 'llama3', ...rule };
}

/** Row (head, i, half) of llama.cpp is row (head, half, i) of Hugging Face. */
function inHfOrder(values: Float32Array, tensor: GgufTensor, heads: number): Float32Array {
  if (heads === 0) return values;
  const cols = tensor.shape.at(-1)!;
  const rows = values.length / cols;
  const headDim = rows / heads;
  const ordered = new Float32Array(values.length);
  for (let to = 0; to < rows; to++) {
    const x = to % headDim;
    const from = to - x + 2 * (x % (headDim / 2)) + Math.floor(x / (headDim / 2));
    ordered.set(values.subarray(from * cols, (from + 1) * cols), to * cols);
  }
  return ordered;
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);
const largestHalf = 65504;

/** Nearest, ties to even. */
function asHalves(values: Float32Array, file: string, name: string): Buffer {
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!(Math.abs(value) <= largestHalf)) throw new ModelFileError('BAD_VALUE', file, name, `holds ${value}, which F16 cannot; convert to F32`);
    float[0] = value;
    const word = bits[0]!;
    const sign = (word >>> 16) & 0x8000;
    const magnitude = Math.abs(value);
    if (magnitude < 2 ** -14) halves[i] = sign | roundToEven(magnitude * 2 ** 24);
    else halves[i] = sign | (((word & 0x7fffffff) - 0x38000000 + 0xfff + ((word >>> 13) & 1)) >>> 13);
  }
  return Buffer.from(halves.buffer);
}

function roundToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}

function writeAll(fd: number, buffer: Buffer): void {
  for (let at = 0; at < buffer.length;) at += writeSync(fd, buffer, at);
}
