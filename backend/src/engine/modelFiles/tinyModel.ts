import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { ModelDescription } from './modelDescription.ts';
import { tinyChatTemplate, tinyTokenizer } from './tinyTokenizer.ts';

export interface TinyModelOptions {
  architecture?: ModelDescription['architecture'];
  seed?: number;
}

const shape = { vocab: 512, hidden: 128, layers: 4, heads: 4, kvHeads: 2, headDim: 32, ffn: 384, context: 8192 };

/**
 * Writes a Hugging Face folder with a randomly initialised model of 0.8 million parameters: the same bytes for the same options. It answers with
 * nonsense, but it really computes, thousands of tokens per second, which is what tests need.
 */
export function writeTinyModel(dir: string, { architecture = 'qwen2', seed = 1 }: TinyModelOptions = {}): void {
  const { tokenizer, config, eosTokenId } = tinyTokenizer(shape.vocab);
  mkdirSync(dir, { recursive: true });
  const json = (name: string, value: object): void => writeFileSync(path.join(dir, name), JSON.stringify(value));
  writeFileSync(path.join(dir, 'model.safetensors'), safetensors(tensors(architecture, seed)));
  json('config.json', {
    model_type: architecture,
    hidden_act: 'silu',
    vocab_size: shape.vocab,
    hidden_size: shape.hidden,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    head_dim: shape.headDim,
    intermediate_size: shape.ffn,
    max_position_embeddings: shape.context,
    rms_norm_eps: 1e-6,
    rope_theta: 1e6,
    rope_scaling: null,
    tie_word_embeddings: true,
    torch_dtype: 'bfloat16',
    eos_token_id: eosTokenId,
  });
  json('generation_config.json', { eos_token_id: eosTokenId });
  json('tokenizer.json', tokenizer);
  json('tokenizer_config.json', config);
  writeFileSync(path.join(dir, 'chat_template.jinja'), tinyChatTemplate);
}

interface Bf16Tensor {
  name: string;
  shape: number[];
  data: Uint16Array;
}

function* tensors(architecture: string, seed: number): Generator<Bf16Tensor> {
  const { hidden, heads, kvHeads, headDim, ffn } = shape;
  const random = mulberry32(seed);
  const tensor = (name: string, extents: number[], deviation: number, mean = 0): Bf16Tensor => {
    const data = new Uint16Array(extents.reduce((product, extent) => product * extent, 1));
    for (let i = 0; i < data.length; i++) data[i] = toBf16(mean + nearNormal(random) * deviation);
    return { name, shape: extents, data };
  };
  yield tensor('model.embed_tokens.weight', [shape.vocab, hidden], 0.05);
  for (let layer = 0; layer < shape.layers; layer++) {
    const at = `model.layers.${layer}.`;
    const fromHidden = 1 / Math.sqrt(hidden);
    yield tensor(`${at}input_layernorm.weight`, [hidden], 0.1, 1);
    // Sharper than the usual initialisation, so that attention picks tokens and a wrong KV block changes the answer.
    yield tensor(`${at}self_attn.q_proj.weight`, [heads * headDim, hidden], 1.5 * fromHidden);
    yield tensor(`${at}self_attn.k_proj.weight`, [kvHeads * headDim, hidden], 1.5 * fromHidden);
    yield tensor(`${at}self_attn.v_proj.weight`, [kvHeads * headDim, hidden], fromHidden);
    if (architecture === 'qwen2') {
      yield tensor(`${at}self_attn.q_proj.bias`, [heads * headDim], 0.1);
      yield tensor(`${at}self_attn.k_proj.bias`, [kvHeads * headDim], 0.1);
      yield tensor(`${at}self_attn.v_proj.bias`, [kvHeads * headDim], 0.1);
    }
    if (architecture === 'qwen3') {
      yield tensor(`${at}self_attn.q_norm.weight`, [headDim], 0.1, 1);
      yield tensor(`${at}self_attn.k_norm.weight`, [headDim], 0.1, 1);
    }
    yield tensor(`${at}self_attn.o_proj.weight`, [hidden, heads * headDim], 1 / Math.sqrt(heads * headDim));
    yield tensor(`${at}post_attention_layernorm.weight`, [hidden], 0.1, 1);
    yield tensor(`${at}mlp.gate_proj.weight`, [ffn, hidden], fromHidden);
    yield tensor(`${at}mlp.up_proj.weight`, [ffn, hidden], fromHidden);
    yield tensor(`${at}mlp.down_proj.weight`, [hidden, ffn], 1 / Math.sqrt(ffn));
  }
  yield tensor('model.norm.weight', [hidden], 0.1, 1);
}

function safetensors(all: Iterable<Bf16Tensor>): Buffer {
  const header: Record<string, object> = { __metadata__: { format: 'pt' } };
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const { name, shape: extents, data } of all) {
    header[name] = { dtype: 'BF16', shape: extents, data_offsets: [offset, (offset += data.byteLength)] };
    parts.push(new Uint8Array(data.buffer));
  }
  const json = JSON.stringify(header);
  const padded = Buffer.from(json.padEnd(Math.ceil((json.length + 8) / 64) * 64 - 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded, ...parts]);
}

/** Uniform in [0, 1). */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The sum of four uniform numbers, scaled to variance 1: no transcendental function, so the same on every machine. */
function nearNormal(random: () => number): number {
  return (random() + random() + random() + random() - 2) * 1.7320508075688772;
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);
function toBf16(value: number): number {
  float[0] = value;
  return (bits[0]! + 0x7fff + ((bits[0]! >>> 16) & 1)) >>> 16;
}
