import type { NativeTensor } from '@dynamo-labs/native';
import { closeSync, openSync, readSync } from 'node:fs';
import path from 'node:path';
import { dequantise } from './ggufDequantise.ts';
import { readGguf, type GgufFile, type GgufTensor } from './ggufFile.ts';
import { engineTypes, isEngineType } from './ggufTypes.ts';
import { isSupportedArchitecture, type ModelDescription } from './modelDescription.ts';
import { ModelFileError } from './modelFileError.ts';
import { ropeFrequencies } from './ropeFrequencies.ts';

/** Vocabularies are skipped while loading: the tokenizer comes from tokenizer.json. */
const longestArray = 1024;

/** Describes a GGUF file of a dense Llama, Qwen2 or Qwen3 model. Throws {@link ModelFileError}, naming the metadata key or tensor it cannot serve. */
export function describeGguf(file: string): ModelDescription {
  const gguf = readGguf(file, { maxArrayLength: longestArray });
  const shape = ggufShape(gguf);
  return { ...shape, files: [file], tensors: weights(gguf).map((tensor) => toNative(file, tensor, shape)) };
}

/** What a GGUF's metadata say about the model, whatever its tensors' types. Throws {@link ModelFileError}. */
export function ggufShape(gguf: GgufFile): Omit<ModelDescription, 'files' | 'tensors'> {
  const file = gguf.path;
  const key = metadataReader(gguf);
  const architecture = gguf.metadata.get('general.architecture');
  if (!isSupportedArchitecture(architecture)) {
    throw new ModelFileError('UNSUPPORTED_FIELD', file, 'general.architecture', `is ${String(architecture)}; supported are llama, qwen2 and qwen3`);
  }
  if (key.optional('expert_count'))
    throw new ModelFileError('UNSUPPORTED_FIELD', file, `${architecture}.expert_count`, 'is set: mixtures of experts are not supported');
  const scalingType = gguf.metadata.get(`${architecture}.rope.scaling.type`);
  if (scalingType !== undefined && scalingType !== 'none') {
    throw new ModelFileError(
      'UNSUPPORTED_FIELD',
      file,
      `${architecture}.rope.scaling.type`,
      `is ${String(scalingType)}; a rope_freqs tensor is the only supported scaling`,
    );
  }
  const heads = key.number('attention.head_count');
  const hiddenSize = key.number('embedding_length');
  const headDim = key.optional('attention.key_length') ?? hiddenSize / heads;
  if ((key.optional('rope.dimension_count') ?? headDim) !== headDim) {
    throw new ModelFileError('UNSUPPORTED_FIELD', file, `${architecture}.rope.dimension_count`, `differs from the head dimension ${headDim}`);
  }
  const embedding = gguf.tensors.find((tensor) => tensor.name === 'token_embd.weight');
  if (!embedding) throw new ModelFileError('MISSING_FIELD', file, 'token_embd.weight', 'is not in the file');
  const eos = ['tokenizer.ggml.eos_token_id', 'tokenizer.ggml.eot_token_id'].map((name) => gguf.metadata.get(name)).filter((id) => typeof id === 'number');
  const stretch = ropeFactors(gguf, headDim);
  return {
    name: String(gguf.metadata.get('general.name') ?? path.basename(file, '.gguf')),
    architecture,
    parameters: weights(gguf).reduce((sum, tensor) => sum + elements(tensor), 0),
    eosTokenIds: [...new Set(eos)],
    contextLength: key.number('context_length'),
    spec: {
      vocabSize: embedding.shape[0]!,
      hiddenSize,
      layers: key.number('block_count'),
      heads,
      kvHeads: key.optional('attention.head_count_kv') ?? heads,
      headDim,
      ffnSize: key.number('feed_forward_length'),
      rmsEps: key.number('attention.layer_norm_rms_epsilon'),
      attentionBias: gguf.tensors.some((tensor) => tensor.name === 'blk.0.attn_q.bias'),
      qkNorm: gguf.tensors.some((tensor) => tensor.name === 'blk.0.attn_q_norm.weight'),
      tiedEmbedding: !gguf.tensors.some((tensor) => tensor.name === 'output.weight'),
      inverseFrequencies: ropeFrequencies(headDim, key.optional('rope.freq_base') ?? 10000).map((frequency, i) => frequency / (stretch?.[i] ?? 1)),
    },
  };
}

const ropeFactorsName = 'rope_freqs.weight';

/** Llama 3's scaling as llama.cpp stores it: what each pair's frequency is divided by. */
function ropeFactors(gguf: GgufFile, headDim: number): Float32Array | undefined {
  const tensor = gguf.tensors.find(({ name }) => name === ropeFactorsName);
  if (!tensor) return undefined;
  if (elements(tensor) !== headDim / 2)
    throw new ModelFileError('BAD_VALUE', gguf.path, ropeFactorsName, `has ${elements(tensor)} factors, a head of ${headDim} needs ${headDim / 2}`);
  const factors = dequantise(tensor.type, readTensorBytes(gguf.path, tensor.offset, tensor.bytes));
  if (!factors.every((factor) => factor > 0 && Number.isFinite(factor)))
    throw new ModelFileError('BAD_VALUE', gguf.path, ropeFactorsName, 'holds a factor that is not a positive number');
  return factors;
}

/** Everything the engine multiplies with. */
export function weights(gguf: GgufFile): GgufTensor[] {
  return gguf.tensors.filter(({ name }) => name !== ropeFactorsName);
}

export function readTensorBytes(file: string, offset: number, bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  const fd = openSync(file, 'r');
  try {
    for (let read = 0, n = -1; read < bytes && n !== 0; read += n) n = readSync(fd, buffer, read, bytes - read, offset + read);
    return buffer;
  } finally {
    closeSync(fd);
  }
}

function metadataReader({ path: file, metadata }: GgufFile) {
  const prefix = `${String(metadata.get('general.architecture'))}.`;
  const optional = (name: string): number | undefined => {
    const value = metadata.get(prefix + name);
    if (value === undefined) return undefined;
    if (typeof value !== 'number') throw new ModelFileError('BAD_VALUE', file, prefix + name, `is ${String(value)}, expected a number`);
    return value;
  };
  const number = (name: string): number => {
    const value = optional(name);
    if (value === undefined) throw new ModelFileError('MISSING_FIELD', file, prefix + name, 'is not in the metadata');
    return value;
  };
  return { optional, number };
}

const wholeNames: Record<string, string> = {
  'token_embd.weight': 'model.embed_tokens.weight',
  'output_norm.weight': 'model.norm.weight',
  'output.weight': 'lm_head.weight',
};
const layerNames: Record<string, string> = {
  attn_norm: 'input_layernorm',
  ffn_norm: 'post_attention_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
};
const layerTensor = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/;

/** A tensor as a Hugging Face folder names it. llama.cpp interleaves the rows of a llama model's q and k for its own rotary kernel: heads, or 0. */
export function hfTensor(
  file: string,
  tensor: GgufTensor,
  { architecture, spec }: Pick<ModelDescription, 'architecture' | 'spec'>,
): { name: string; interleavedHeads: number } {
  const [, layer, part = '', kind] = layerTensor.exec(tensor.name) ?? [];
  const name = wholeNames[tensor.name] ?? (layerNames[part] && `model.layers.${layer}.${layerNames[part]}.${kind}`);
  if (!name) throw new ModelFileError('UNSUPPORTED_FIELD', file, tensor.name, 'is a tensor this engine does not know');
  if (kind === 'bias' && !/^attn_[qkv]$/.test(part)) throw new ModelFileError('UNSUPPORTED_FIELD', file, tensor.name, 'is a bias this engine does not add');
  if (tensor.shape.length > 2) throw new ModelFileError('UNSUPPORTED_FIELD', file, tensor.name, `has ${tensor.shape.length} dimensions`);
  const interleavedHeads = architecture !== 'llama' ? 0 : part === 'attn_q' ? spec.heads : part === 'attn_k' ? spec.kvHeads : 0;
  return { name, interleavedHeads };
}

function toNative(file: string, tensor: GgufTensor, model: Pick<ModelDescription, 'architecture' | 'spec'>): NativeTensor {
  const { name, interleavedHeads } = hfTensor(file, tensor, model);
  if (!isEngineType(tensor.type))
    throw new ModelFileError(
      'UNSUPPORTED_TYPE',
      file,
      tensor.name,
      `has type ${tensor.type}; the engine multiplies ${engineTypes.join(', ')}. "npm run model -- add NAME FILE" converts it`,
    );
  const cols = tensor.shape.at(-1)!;
  return { name, file: 0, offset: tensor.offset, dtype: tensor.type, rows: elements(tensor) / cols, cols, interleavedHeads };
}

export function elements(tensor: GgufTensor): number {
  return tensor.shape.reduce((product, extent) => product * extent, 1);
}
