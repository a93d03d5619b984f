import { readFileSync } from 'node:fs';
import { describeModel } from '../modelFiles/index.ts';

/**
 * The oracle: the same mathematics in the plainest form, in f64, one token after another, no cache, no tiles. Only BF16 safetensors. Keys and values are
 * rounded to f16 as the pool does.
 */
export function referenceLogits(modelDir: string, tokens: readonly number[]): Float64Array {
  const { spec, tensors, files } = describeModel(modelDir);
  const bytes = readFileSync(files[0]!);
  const tensor = (name: string): Float64Array => {
    const found = tensors.find((entry) => entry.name === name);
    if (!found) throw new Error(`no tensor ${name}`);
    const words = new Uint16Array(bytes.buffer.slice(bytes.byteOffset + found.offset, bytes.byteOffset + found.offset + found.rows * found.cols * 2));
    return Float64Array.from(new Float32Array(Uint32Array.from(words, (word) => word << 16).buffer));
  };
  const { hiddenSize, heads, kvHeads, headDim } = spec;
  const embedding = tensor('model.embed_tokens.weight');
  let rows: Float64Array[] = tokens.map((token) => embedding.slice(token * hiddenSize, (token + 1) * hiddenSize));
  for (let layer = 0; layer < spec.layers; layer++) {
    const at = `model.layers.${layer}.`;
    const weight = (name: string): Float64Array => tensor(`${at}${name}.weight`);
    const inputNorm = weight('input_layernorm');
    const project = (name: string, width: number, input: Float64Array[], isHead: boolean): Float64Array[] => {
      const matrix = weight(`self_attn.${name}_proj`);
      const bias = spec.attentionBias ? tensor(`${at}self_attn.${name}_proj.bias`) : undefined;
      const norm = spec.qkNorm && isHead ? weight(`self_attn.${name}_norm`) : undefined;
      return input.map((x, position) => {
        const y = multiply(matrix, x).map((value, i) => value + (bias?.[i] ?? 0));
        if (!isHead) return y;
        return concat(
          Array.from({ length: width / headDim }, (_, h) => {
            const head = y.slice(h * headDim, (h + 1) * headDim);
            return rotate(norm ? rmsNorm(head, norm, spec.rmsEps) : head, position, spec.inverseFrequencies);
          }),
        );
      });
    };
    const normed = rows.map((x) => rmsNorm(x, inputNorm, spec.rmsEps));
    const q = project('q', heads * headDim, normed, true);
    const k = project('k', kvHeads * headDim, normed, true).map((row) => row.map(toF16));
    const v = project('v', kvHeads * headDim, normed, false).map((row) => row.map(toF16));
    const out = weight('self_attn.o_proj');
    const [gate, up, down] = [weight('mlp.gate_proj'), weight('mlp.up_proj'), weight('mlp.down_proj')];
    const postNorm = weight('post_attention_layernorm');
    rows = rows.map((x, position) => {
      const attended = concat(
        Array.from({ length: heads }, (_, h) => {
          const kvAt = Math.floor(h / (heads / kvHeads)) * headDim;
          const query = q[position]!.slice(h * headDim, (h + 1) * headDim);
          const scores = Array.from(
            { length: position + 1 },
            (_, t) => query.reduce((sum, value, i) => sum + value * k[t]![kvAt + i]!, 0) / Math.sqrt(headDim),
          );
          const highest = Math.max(...scores);
          const weights = scores.map((score) => Math.exp(score - highest));
          const total = weights.reduce((sum, value) => sum + value, 0);
          return Float64Array.from({ length: headDim }, (_, i) => weights.reduce((sum, value, t) => sum + value * v[t]![kvAt + i]!, 0) / total);
        }),
      );
      const afterAttention = add(x, multiply(out, attended));
      const y = rmsNorm(afterAttention, postNorm, spec.rmsEps);
      const [g, u] = [multiply(gate, y), multiply(up, y)];
      return add(
        afterAttention,
        multiply(
          down,
          g.map((value, i) => (value / (1 + Math.exp(-value))) * u[i]!),
        ),
      );
    });
  }
  return multiply(embedding, rmsNorm(rows.at(-1)!, tensor('model.norm.weight'), spec.rmsEps));
}

function multiply(matrix: Float64Array, x: Float64Array): Float64Array {
  return Float64Array.from({ length: matrix.length / x.length }, (_, row) => {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += matrix[row * x.length + i]! * x[i]!;
    return sum;
  });
}
function add(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, i) => value + b[i]!);
}
function concat(parts: Float64Array[]): Float64Array {
  return Float64Array.from(parts.flatMap((part) => [...part]));
}
function rmsNorm(x: Float64Array, weight: Float64Array, eps: number): Float64Array {
  const scale = 1 / Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / x.length + eps);
  return x.map((value, i) => value * scale * weight[i]!);
}
function rotate(head: Float64Array, position: number, frequencies: Float64Array): Float64Array {
  const half = head.length / 2;
  return head.map((value, i) => {
    const angle = position * frequencies[i % half]!;
    return i < half ? value * Math.cos(angle) - head[i + half]! * Math.sin(angle) : value * Math.cos(angle) + head[i - half]! * Math.sin(angle);
  });
}
function toF16(value: number): number {
  if (value === 0) return 0;
  const unit = 2 ** (Math.max(Math.floor(Math.log2(Math.abs(value))), -14) - 10);
  return Math.round(value / unit) * unit;
}
