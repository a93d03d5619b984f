import fc from 'fast-check';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { writeGguf, writeTinyGguf } from '../testing/ggufWriter.ts';
import { logitsOf } from '../testing/logitsOf.ts';
import { someTokens, temporaryTinyModel } from '../testing/tinyModels.ts';
import { convertGguf } from './convertGguf.ts';
import { dequantise } from './ggufDequantise.ts';
import type { GgufType } from './ggufTypes.ts';
import { describeModel, ModelFileError } from './index.ts';
import { ropeFrequencies } from './ropeFrequencies.ts';
import { readSafetensors } from './safetensorsFile.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'dynamo-labs-convert-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const recorded = JSON.parse(readFileSync(path.join(import.meta.dirname, '../testing/ggufBlocks.json'), 'utf8')) as Record<
  string,
  { blocks: string; values: string }
>;

test.each(Object.keys(recorded))('%s blocks stand for the numbers of the reference, to the bit', (type) => {
  const { blocks, values } = recorded[type]!;
  const expected = new Float32Array(new Uint8Array(Buffer.from(values, 'base64')).buffer);
  expect(dequantise(type as GgufType, Buffer.from(blocks, 'base64'))).toEqual(expected);
});

describe('a converted file', () => {
  test.each(['Q8_0', 'Q4_1'] as const)('%s as F32: the logits of the numbers it stood for, to the bit', async (type) => {
    using llama = temporaryTinyModel({ architecture: 'llama' });
    const [quantised, plain, folder] = [`${type}.gguf`, `${type}-f32.gguf`, `${type}-folder`].map((name) => path.join(dir, name)) as [string, string, string];
    writeTinyGguf(llama.dir, quantised, type);
    writeTinyGguf(llama.dir, plain, 'F32', type);
    convertGguf(quantised, folder, { dtype: 'F32' });
    const converted = describeModel(folder);
    expect({ ...converted.spec }).toEqual(describeModel(plain).spec);
    expect(await logitsOf(converted, someTokens(20))).toEqual(await logitsOf(describeModel(plain), someTokens(20)));
  });

  test('F16 is the nearest half of each number', () => {
    const file = path.join(dir, 'numbers.gguf');
    fc.assert(
      fc.property(fc.array(fc.float({ min: -60000, max: 60000, noNaN: true }), { minLength: 64, maxLength: 64 }), (numbers) => {
        const values = Float32Array.from(numbers);
        writeGguf(file, llamaMetadata, [{ name: 'token_embd.weight', shape: [1, 64], typeId: 0, data: Buffer.from(values.buffer) }]);
        convertGguf(file, path.join(dir, 'halves'));
        const stored = readFileSync(path.join(dir, 'halves', 'model.safetensors'));
        const { offset } = readSafetensors(path.join(dir, 'halves', 'model.safetensors'))[0]!;
        const halves = dequantise('F16', stored.subarray(offset, offset + 128));
        values.forEach((value, i) => {
          const spacing = Math.max(2 ** -24, 2 ** (Math.floor(Math.log2(Math.abs(value) || 2 ** -24)) - 10));
          expect(Math.abs(halves[i]! - value)).toBeLessThanOrEqual(spacing / 2);
        });
      }),
      { numRuns: 50 },
    );
  });

  test('a number beyond F16 is refused by its tensor', () => {
    const file = path.join(dir, 'large.gguf');
    writeGguf(file, llamaMetadata, [
      { name: 'token_embd.weight', shape: [1, 64], typeId: 0, data: Buffer.from(Float32Array.from({ length: 64 }, () => 1e6).buffer) },
    ]);
    expect(() => convertGguf(file, path.join(dir, 'large'))).toThrow(ModelFileError);
    expect(() => convertGguf(file, path.join(dir, 'large'))).toThrow(/token_embd.weight.*F16/);
  });
});

const llamaMetadata = {
  'general.architecture': 'llama',
  'llama.block_count': 1,
  'llama.context_length': 131072,
  'llama.embedding_length': 64,
  'llama.feed_forward_length': 64,
  'llama.attention.head_count': 1,
  'llama.attention.layer_norm_rms_epsilon': 1e-5,
  'llama.rope.freq_base': 500000,
};

describe('rope_freqs of Llama 3', () => {
  const rule = { factor: 32, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };
  const embedding = { name: 'token_embd.weight', shape: [1, 64], typeId: 0, data: Buffer.alloc(256) };
  const withFactors = (factors: Float32Array): string => {
    const file = path.join(dir, 'rope.gguf');
    writeGguf(file, llamaMetadata, [embedding, { name: 'rope_freqs.weight', shape: [factors.length], typeId: 0, data: Buffer.from(factors.buffer) }]);
    return file;
  };
  const plain = ropeFrequencies(64, 500000);
  const scaled = ropeFrequencies(64, 500000, rule);
  const factors = Float32Array.from(plain, (frequency, i) => frequency / scaled[i]!);

  test('divide the frequencies, and become the rule that gives them', () => {
    const file = withFactors(factors);
    describeModel(file).spec.inverseFrequencies.forEach((frequency, i) => expect(frequency / scaled[i]!).toBeCloseTo(1, 6));
    convertGguf(file, path.join(dir, 'rope'));
    const config = JSON.parse(readFileSync(path.join(dir, 'rope', 'config.json'), 'utf8')) as Record<string, unknown>;
    expect(config['rope_scaling']).toEqual({ rope_type: 'llama3', ...rule });
  });

  test('that follow no known rule, are too few or no numbers are refused by name', () => {
    expect(() => convertGguf(withFactors(factors.map((factor) => factor * 1.5)), path.join(dir, 'odd'))).toThrow(/rope_freqs.weight/);
    expect(() => describeModel(withFactors(factors.slice(0, 5)))).toThrow(/rope_freqs.weight.*5 factors/);
    expect(() => describeModel(withFactors(factors.map(() => NaN)))).toThrow(/rope_freqs.weight/);
  });
});
