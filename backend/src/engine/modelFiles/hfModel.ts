import type { NativeTensor } from '@dynamo-labs/native';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { isSupportedArchitecture, type ModelDescription } from './modelDescription.ts';
import { ModelFileError } from './modelFileError.ts';
import { ropeFrequencies, type Llama3RopeScaling } from './ropeFrequencies.ts';
import { readSafetensors } from './safetensorsFile.ts';

type Json = Record<string, unknown>;

/** Describes a Hugging Face folder: config.json and safetensors, one file or indexed shards. Throws {@link ModelFileError}. */
export function describeHfFolder(dir: string): ModelDescription {
  const file = path.join(dir, 'config.json');
  const config = readJson(file);
  const architecture = config['model_type'];
  if (!isSupportedArchitecture(architecture)) {
    throw new ModelFileError('UNSUPPORTED_FIELD', file, 'model_type', `is ${String(architecture)}; supported are llama, qwen2 and qwen3`);
  }
  refuseUnsupported(file, config, architecture);
  const number = (name: string): number => {
    const value = config[name];
    if (value === undefined || value === null) throw new ModelFileError('MISSING_FIELD', file, name, 'is not set');
    if (typeof value !== 'number') throw new ModelFileError('BAD_VALUE', file, name, `is ${JSON.stringify(value)}, expected a number`);
    return value;
  };
  const heads = number('num_attention_heads');
  const hiddenSize = number('hidden_size');
  const headDim = config['head_dim'] == null ? hiddenSize / heads : number('head_dim');
  const { theta, scaling } = rope(file, config);
  const { files, tensors } = readTensors(dir);
  return {
    name: path.basename(path.resolve(dir)),
    architecture,
    parameters: tensors.reduce((sum, tensor) => sum + tensor.rows * tensor.cols, 0),
    eosTokenIds: eosTokenIds(dir, config),
    contextLength: number('max_position_embeddings'),
    files,
    tensors,
    spec: {
      vocabSize: number('vocab_size'),
      hiddenSize,
      layers: number('num_hidden_layers'),
      heads,
      kvHeads: config['num_key_value_heads'] == null ? heads : number('num_key_value_heads'),
      headDim,
      ffnSize: number('intermediate_size'),
      rmsEps: number('rms_norm_eps'),
      attentionBias: architecture === 'qwen2',
      qkNorm: architecture === 'qwen3',
      tiedEmbedding: config['tie_word_embeddings'] === true || !tensors.some((tensor) => tensor.name === 'lm_head.weight'),
      inverseFrequencies: ropeFrequencies(headDim, theta, scaling),
    },
  };
}

function readJson(file: string): Json {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Json;
  } catch (cause) {
    throw new ModelFileError('BAD_VALUE', file, '', `cannot be read: ${(cause as Error).message}`, { cause });
  }
}

/** Settings that change the arithmetic, with the only value this engine computes. */
function refuseUnsupported(file: string, config: Json, architecture: string): void {
  const only: [string, unknown[]][] = [
    ['hidden_act', [undefined, 'silu']],
    ['attention_bias', [undefined, null, false, ...(architecture === 'qwen2' ? [true] : [])]],
    ['mlp_bias', [undefined, null, false]],
    ['use_sliding_window', [undefined, null, false]],
    ['quantization_config', [undefined, null]],
    ['partial_rotary_factor', [undefined, null, 1]],
    ['num_local_experts', [undefined, null, 0]],
  ];
  for (const [field, allowed] of only) {
    if (!allowed.includes(config[field]))
      throw new ModelFileError('UNSUPPORTED_FIELD', file, field, `is ${JSON.stringify(config[field])}, which this engine does not compute`);
  }
}

/** `rope_theta` and `rope_scaling`, or both in `rope_parameters` as newer transformers write them. */
function rope(file: string, config: Json): { theta: number; scaling?: Llama3RopeScaling } {
  const parameters = config['rope_parameters'] as Json | null | undefined;
  const theta = config['rope_theta'] ?? parameters?.['rope_theta'] ?? 10000;
  if (typeof theta !== 'number') throw new ModelFileError('BAD_VALUE', file, 'rope_theta', `is ${JSON.stringify(theta)}, expected a number`);
  const scaling = (config['rope_scaling'] ?? parameters) as Json | null | undefined;
  const type = scaling?.['rope_type'] ?? scaling?.['type'] ?? 'default';
  if (!scaling || type === 'default') return { theta };
  if (type !== 'llama3')
    throw new ModelFileError('UNSUPPORTED_FIELD', file, 'rope_scaling', `has type ${JSON.stringify(type)}; supported are default and llama3`);
  for (const field of ['factor', 'low_freq_factor', 'high_freq_factor', 'original_max_position_embeddings']) {
    if (typeof scaling[field] !== 'number') throw new ModelFileError('MISSING_FIELD', file, `rope_scaling.${field}`, 'is not a number');
  }
  return { theta, scaling: scaling as unknown as Llama3RopeScaling };
}

function eosTokenIds(dir: string, config: Json): number[] {
  const generation = path.join(dir, 'generation_config.json');
  const id = (existsSync(generation) ? readJson(generation)['eos_token_id'] : undefined) ?? config['eos_token_id'];
  return [id].flat().filter((entry): entry is number => typeof entry === 'number');
}

function readTensors(dir: string): { files: string[]; tensors: NativeTensor[] } {
  const index = path.join(dir, 'model.safetensors.index.json');
  const single = path.join(dir, 'model.safetensors');
  let names: string[] | undefined;
  if (existsSync(single)) names = ['model.safetensors'];
  else if (existsSync(index)) names = [...new Set(Object.values((readJson(index)['weight_map'] ?? {}) as Record<string, string>))].sort();
  if (!names || names.length === 0) throw new ModelFileError('NO_MODEL', dir, '', 'holds neither model.safetensors nor model.safetensors.index.json');
  const files = names.map((name) => {
    if (path.basename(name) !== name)
      throw new ModelFileError('BAD_VALUE', index, 'weight_map', `names ${JSON.stringify(name)}, which is not a file of this folder`);
    return path.join(dir, name);
  });
  const tensors = files.flatMap((file, at) =>
    readSafetensors(file)
      .filter((tensor) => !tensor.name.endsWith('.rotary_emb.inv_freq'))
      .map((tensor): NativeTensor => {
        if (tensor.shape.length < 1 || tensor.shape.length > 2)
          throw new ModelFileError('UNSUPPORTED_FIELD', file, tensor.name, `has ${tensor.shape.length} dimensions`);
        const cols = tensor.shape.at(-1)!;
        return {
          name: tensor.name,
          file: at,
          offset: tensor.offset,
          dtype: tensor.type,
          rows: tensor.shape.length === 2 ? tensor.shape[0]! : 1,
          cols,
          interleavedHeads: 0,
        };
      }),
  );
  return { files, tensors };
}
