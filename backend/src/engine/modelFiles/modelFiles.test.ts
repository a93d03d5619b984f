import fc from 'fast-check';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { referenceLogits } from '../testing/referenceForward.ts';
import { writeGguf, writeTinyGguf, type WrittenType } from '../testing/ggufWriter.ts';
import { logitsOf } from '../testing/logitsOf.ts';
import { someTokens, temporaryTinyModel } from '../testing/tinyModels.ts';
import { describeModel, ModelFileError, modelFingerprint, readGguf } from './index.ts';
import { ropeFrequencies } from './ropeFrequencies.ts';

const llama = temporaryTinyModel({ architecture: 'llama' });
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'dynamo-labs-model-files-'));
});
afterAll(() => {
  llama[Symbol.dispose]();
  rmSync(dir, { recursive: true, force: true });
});

function failure(work: () => unknown): Pick<ModelFileError, 'code' | 'field'> & { message: string } {
  try {
    work();
  } catch (error) {
    const { code, field, message } = error as ModelFileError;
    return { code, field, message };
  }
  throw new Error('expected a failure');
}

describe('GGUF', () => {
  const tokens = someTokens(20);
  let oracle: Float64Array | undefined;
  test.each([
    ['F32', 1e-3],
    ['BF16', 1e-3],
    ['F16', 5e-3],
  ] satisfies [WrittenType, number][])('%s weights, q and k interleaved: the logits of the Hugging Face folder', async (type, tolerance) => {
    const file = path.join(dir, `${type}.gguf`);
    writeTinyGguf(llama.dir, file, type);
    oracle ??= referenceLogits(llama.dir, tokens);
    const logits = await logitsOf(describeModel(file), tokens);
    const largest = Math.max(...oracle.map(Math.abs));
    expect(Math.max(...oracle.map((value, i) => Math.abs(value - logits[i]!))) / largest).toBeLessThan(tolerance);
  });

  test.each(['Q8_0', 'Q4_1'] as const)('%s weights give the bits of the f32 numbers they stand for', async (type) => {
    const [quantised, plain] = [path.join(dir, `${type}.gguf`), path.join(dir, `${type}-as-f32.gguf`)];
    writeTinyGguf(llama.dir, quantised, type);
    writeTinyGguf(llama.dir, plain, 'F32', type);
    expect(await logitsOf(describeModel(quantised), tokens)).toEqual(await logitsOf(describeModel(plain), tokens));
  });

  test('broken files are refused by name', () => {
    const good = path.join(dir, 'good.gguf');
    writeTinyGguf(llama.dir, good, 'Q8_0');
    const bytes = readFileSync(good);
    const broken = (edit: (copy: Buffer) => Buffer | void): ReturnType<typeof failure> => {
      const file = path.join(dir, 'broken.gguf');
      const copy = Buffer.from(bytes);
      writeFileSync(file, edit(copy) ?? copy);
      return failure(() => describeModel(file));
    };
    expect(broken((copy) => void copy.write('GGML'))).toMatchObject({ code: 'BAD_MAGIC', field: 'magic' });
    expect(broken((copy) => void copy.writeUInt32LE(9, 4))).toMatchObject({ code: 'UNSUPPORTED_FIELD', field: 'version' });
    expect(broken((copy) => copy.subarray(0, 3))).toMatchObject({ code: 'TRUNCATED', field: 'header' });
    expect(broken((copy) => copy.subarray(0, 500))).toMatchObject({ code: 'TRUNCATED', field: 'header' });
    expect(broken((copy) => copy.subarray(0, copy.length - 200))).toMatchObject({ code: 'TRUNCATED', field: 'output_norm.weight' });
    expect(broken((copy) => void copy.writeBigUInt64LE(2n ** 40n, 8))).toMatchObject({ code: 'BAD_VALUE', field: 'tensor_count' });
  });

  test('any damage to the header is either harmless or a ModelFileError', () => {
    const file = path.join(dir, 'damaged.gguf');
    const metadata = { 'general.architecture': 'llama', 'llama.block_count': 1, 'tokenizer.ggml.tokens': ['a', 'b', 'c'], 'general.alignment': 32 };
    writeGguf(file, metadata, [{ name: 'token_embd.weight', shape: [2, 32], typeId: 0, data: Buffer.alloc(256) }]);
    const bytes = readFileSync(file);
    const edits = fc.array(fc.tuple(fc.nat(bytes.length - 257), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(edits, fc.integer({ min: 0, max: bytes.length }), (changes, length) => {
        const copy = Buffer.from(bytes.subarray(0, length));
        for (const [at, value] of changes) if (at < copy.length) copy[at] = value;
        writeFileSync(file, copy);
        try {
          for (const tensor of readGguf(file).tensors) expect(tensor.offset + tensor.bytes).toBeLessThanOrEqual(length);
        } catch (error) {
          expect(error).toBeInstanceOf(ModelFileError);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('what the engine does not compute is refused by its name', () => {
    const base = { 'general.architecture': 'llama', 'llama.attention.head_count': 4, 'llama.embedding_length': 128 };
    const file = path.join(dir, 'other.gguf');
    const refused = (metadata: Record<string, number | string>, typeId = 0): ReturnType<typeof failure> => {
      writeGguf(file, { ...base, ...metadata }, [{ name: 'token_embd.weight', shape: [4, 256], typeId, data: Buffer.alloc(4096) }]);
      return failure(() => describeModel(file));
    };
    const whole = { 'llama.context_length': 64, 'llama.block_count': 1, 'llama.feed_forward_length': 64, 'llama.attention.layer_norm_rms_epsilon': 1e-5 };
    const unsupported = (message: string) => ({ code: 'UNSUPPORTED_TYPE', field: 'token_embd.weight', message: expect.stringContaining(message) as string });
    expect(refused(whole, 12)).toMatchObject(unsupported('has type Q4_K; the engine multiplies F32, F16, BF16, Q8_0, Q4_1. "npm run model -- add'));
    expect(refused(whole, 16)).toMatchObject(unsupported('has type IQ2_XXS; readable are'));
    expect(refused({ 'general.architecture': 'gemma2' })).toMatchObject({ code: 'UNSUPPORTED_FIELD', field: 'general.architecture' });
    expect(refused({ 'llama.expert_count': 8 })).toMatchObject({ code: 'UNSUPPORTED_FIELD', field: 'llama.expert_count' });
    expect(refused({ 'llama.rope.scaling.type': 'yarn' })).toMatchObject({ code: 'UNSUPPORTED_FIELD', field: 'llama.rope.scaling.type' });
    expect(refused({ 'general.alignment': 3 })).toMatchObject({ code: 'BAD_VALUE', field: 'general.alignment' });
    expect(refused({})).toMatchObject({ code: 'MISSING_FIELD', field: 'llama.context_length' });
  });
});

describe('Hugging Face folders', () => {
  function edited(change: (config: Record<string, unknown>) => void): { dir: string } & Disposable {
    const copy = temporaryTinyModel({ architecture: 'llama' });
    const file = path.join(copy.dir, 'config.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
    change(config);
    writeFileSync(file, JSON.stringify(config));
    return copy;
  }
  test.each([
    ['model_type', 'mamba'],
    ['hidden_act', 'gelu'],
    ['attention_bias', true],
    ['use_sliding_window', true],
    ['quantization_config', { quant_method: 'gptq' }],
    ['rope_scaling', { rope_type: 'yarn', factor: 4 }],
  ])('%s = %j is refused by name', (field, value) => {
    using copy = edited((config) => (config[field] = value));
    expect(failure(() => describeModel(copy.dir))).toMatchObject({ code: 'UNSUPPORTED_FIELD', field });
  });

  test('missing settings, missing tensors, wrong shapes, NaN weights and cut files are refused by name', async () => {
    using noHeads = edited((config) => delete config['num_attention_heads']);
    expect(failure(() => describeModel(noHeads.dir))).toMatchObject({ code: 'MISSING_FIELD', field: 'num_attention_heads' });
    using moreLayers = edited((config) => (config['num_hidden_layers'] = 5));
    await expect(logitsOf(describeModel(moreLayers.dir), [1])).rejects.toMatchObject({
      code: 'MISSING_TENSOR',
      field: 'model.layers.4.input_layernorm.weight',
    });
    using wider = edited((config) => (config['intermediate_size'] = 416));
    await expect(logitsOf(describeModel(wider.dir), [1])).rejects.toMatchObject({ code: 'TENSOR_SHAPE', field: 'model.layers.0.mlp.gate_proj.weight' });

    using nan = temporaryTinyModel({ architecture: 'llama' });
    const weights = path.join(nan.dir, 'model.safetensors');
    const bytes = readFileSync(weights);
    const norm = describeModel(nan.dir).tensors.find((tensor) => tensor.name === 'model.norm.weight')!;
    bytes.writeUInt16LE(0x7fc0, norm.offset);
    writeFileSync(weights, bytes);
    await expect(logitsOf(describeModel(nan.dir), [1])).rejects.toMatchObject({ code: 'NOT_FINITE', field: 'model.norm.weight' });

    truncateSync(weights, bytes.length - 100);
    expect(failure(() => describeModel(nan.dir))).toMatchObject({ code: 'TRUNCATED', field: 'model.norm.weight' });
    truncateSync(weights, 4);
    expect(failure(() => describeModel(nan.dir))).toMatchObject({ code: 'TRUNCATED', field: 'header' });
    expect(failure(() => describeModel(path.join(nan.dir, 'absent')))).toMatchObject({ code: 'NO_MODEL' });
  });

  test('a tensor past the end of its file is refused by the native loader too', async () => {
    const description = describeModel(llama.dir);
    const tensors = description.tensors.map((tensor, i) => (i === 3 ? { ...tensor, offset: 1e9 } : tensor));
    await expect(logitsOf({ ...description, tensors }, [1])).rejects.toMatchObject({ code: 'TRUNCATED', field: tensors[3]!.name });
    await expect(logitsOf({ ...description, files: ['/nowhere/model.safetensors'] }, [1])).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

test('Llama 3 scaling leaves short wavelengths, stretches long ones by the factor and blends between', () => {
  const scaling = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };
  const plain = ropeFrequencies(128, 500000);
  const scaled = ropeFrequencies(128, 500000, scaling);
  const ratios = plain.map((frequency, i) => frequency / scaled[i]!);
  expect(ratios[0]).toBe(1);
  expect(ratios.at(-1)).toBe(8);
  expect(ratios.every((ratio, i) => i === 0 || ratio >= ratios[i - 1]! - 1e-12)).toBe(true);
  expect(ratios.some((ratio) => ratio > 1.01 && ratio < 7.99)).toBe(true);
});

test('the fingerprint is stable and tells models and block sizes apart', () => {
  using other = temporaryTinyModel({ architecture: 'llama', seed: 2 });
  const description = describeModel(llama.dir);
  expect(modelFingerprint(describeModel(llama.dir), 16, 'int8')).toBe(modelFingerprint(description, 16, 'int8'));
  expect(modelFingerprint(description, 32, 'int8')).not.toBe(modelFingerprint(description, 16, 'int8'));
  expect(modelFingerprint(describeModel(other.dir), 16, 'int8')).not.toBe(modelFingerprint(description, 16, 'int8'));
});
