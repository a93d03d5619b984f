import { nativeAddon, type NativeLoadOptions, type NativeModel, type NativeSlice } from '@dynamo-labs/native';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeModel, modelFingerprint } from './modelFiles/index.ts';
import { ModelRunner } from './modelRunner.ts';
import { writeTinyGguf } from './testing/ggufWriter.ts';
import { someTokens, temporaryTinyModel } from './testing/tinyModels.ts';

const source = temporaryTinyModel({ architecture: 'llama' });
const prompt = someTokens(150);
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'dynamo-labs-integer-'));
});
afterAll(() => {
  source[Symbol.dispose]();
  rmSync(dir, { recursive: true, force: true });
});

async function load(file: string, options: Pick<NativeLoadOptions, 'kernels' | 'matmul'> & { threads?: number } = {}): Promise<NativeModel> {
  const { spec, files, tensors } = describeModel(file);
  const model = await nativeAddon().loadModel({ spec: { ...spec, maxPosition: 256 }, files, tensors, blockTokens: 16, threads: 1, matmul: 'int8', ...options });
  model.attachPool(nativeAddon().allocatePages(model.info.blockBytes * 64));
  return model;
}

const table = (index: number): Int32Array => Int32Array.from({ length: 16 }, (_, i) => index * 16 + ((i * 7) % 16));
const slice = (tokens: readonly number[], start: number, blocks: Int32Array): NativeSlice => ({ tokens: Int32Array.from(tokens), start, blocks, logits: true });
const bytes = (logits: Float32Array): Buffer => Buffer.from(logits.buffer, logits.byteOffset, logits.byteLength);

async function prefill(model: NativeModel, chunk: number, index = 0): Promise<Float32Array> {
  let logits: Float32Array | undefined;
  for (let at = 0; at < prompt.length; at += chunk)
    [{ logits }] = (await model.step([slice(prompt.slice(at, at + chunk), at, table(index))])) as [{ logits: Float32Array }];
  return logits!;
}

describe.each(['Q8_0', 'Q4_1'] as const)('%s weights times 8-bit activations', (type) => {
  let file: string;
  let expected: Buffer;
  beforeAll(async () => {
    file = path.join(dir, `${type}.gguf`);
    writeTinyGguf(source.dir, file, type);
    const model = await load(file);
    expected = bytes(await prefill(model, prompt.length));
    await model.dispose();
  });

  test('the same bits for every chunking, neighbour and number of threads', async () => {
    const [one, two] = await Promise.all([load(file), load(file, { threads: 2 })]);
    for (const chunk of [64, 33, 16, 7, 2, 1]) expect(bytes(await prefill(one, chunk, 1)).equals(expected), `chunk ${chunk}`).toBe(true);
    expect(bytes(await prefill(two, 50)).equals(expected), 'two threads').toBe(true);
    await one.step([slice(prompt.slice(0, 100), 0, table(0)), slice(someTokens(40, 3), 0, table(1))]);
    const mixed = await one.step([slice([42], 40, table(1)), slice(prompt.slice(100), 100, table(0)), slice(someTokens(31, 5), 0, table(2))]);
    expect(bytes(mixed[1]!.logits!).equals(expected), 'mixed batch').toBe(true);
    await Promise.all([one.dispose(), two.dispose()]);
  });

  test.each(['avx512', 'avx2', 'portable'] as const)('the same bits by the %s kernels', async (kernels) => {
    const model = await load(file, { kernels }).catch((error: Error & { code?: string }) => error);
    if (model instanceof Error) {
      expect(model).toMatchObject({ code: 'UNSUPPORTED_KERNELS' });
      console.log(`this machine cannot run the ${kernels} kernels: not compared`);
      return;
    }
    expect(bytes(await prefill(model, 45)).equals(expected)).toBe(true);
    await model.dispose();
  });

  test('near the float path, and not it', async () => {
    const reference = await load(file, { matmul: 'float' });
    expect([reference.info.matmul, (await load(file)).info.matmul]).toEqual(['float', 'int8']);
    const exact = await prefill(reference, 64);
    const integer = new Float32Array(expected.buffer, expected.byteOffset, exact.length);
    const power = (values: Float32Array): number => values.reduce((sum, value) => sum + value * value, 0);
    const error = Math.sqrt(power(exact.map((value, i) => value - integer[i]!)) / power(exact));
    expect(error).toBeGreaterThan(0);
    expect(error).toBeLessThan(0.12); // random weights amplify it; a trained model shows a tenth of this
    await reference.dispose();
  });

  test('the fingerprint names the arithmetic', () => {
    const quantised = describeModel(file);
    expect(modelFingerprint(quantised, 16, 'int8')).not.toBe(modelFingerprint(quantised, 16, 'float'));
  });
});

test('a model without quantised weights computes one way, whatever is asked', async () => {
  const description = describeModel(source.dir);
  expect(modelFingerprint(description, 16, 'int8')).toBe(modelFingerprint(description, 16, 'float'));
  const [integer, float] = await Promise.all([load(source.dir), load(source.dir, { matmul: 'float' })]);
  expect(await prefill(integer, 64)).toEqual(await prefill(float, 64));
  await Promise.all([integer.dispose(), float.dispose()]);
});

test('an arithmetic that does not exist is refused by name', async () => {
  const options = { modelDir: source.dir, blocks: 16, blockTokens: 16, threads: 1 };
  await expect(ModelRunner.load({ ...options, matmul: 'int4' as 'int8' })).rejects.toMatchObject({ code: 'UNSUPPORTED_KERNELS', field: 'matmul' });
});
