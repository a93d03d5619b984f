import { nativeAddon, type NativeModel, type NativeSlice } from '@dynamo-labs/native';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { describeModel } from './modelFiles/index.ts';
import { referenceLogits } from './testing/referenceForward.ts';
import { someTokens, temporaryTinyModel } from './testing/tinyModels.ts';

const kernels = ['avx512', 'avx2', 'portable'] as const;
const prompt = someTokens(203);
// The portable kernels take seconds where the processor is shared.
vi.setConfig({ testTimeout: 120_000 });
afterAll(() => vi.resetConfig());

interface Loaded {
  model: NativeModel;
  pool: Uint8Array;
  blockTokens: number;
}

async function load(dir: string, options: { blockTokens?: number; threads?: number; kernels?: (typeof kernels)[number] } = {}): Promise<Loaded> {
  const description = describeModel(dir);
  const blockTokens = options.blockTokens ?? 16;
  const model = await nativeAddon().loadModel({
    spec: { ...description.spec, maxPosition: 1024 },
    files: description.files,
    tensors: description.tensors,
    blockTokens,
    threads: options.threads ?? 1,
    ...(options.kernels && { kernels: options.kernels }),
  });
  const pool = nativeAddon().allocatePages(model.info.blockBytes * (2048 / blockTokens));
  model.attachPool(pool);
  return { model, pool: new Uint8Array(pool), blockTokens };
}

/** A block table of its own for one sequence of up to 512 tokens; `scattered` tables are in no order. */
function table({ blockTokens }: Loaded, index: number, scattered = false): Int32Array {
  const blocks = 512 / blockTokens;
  const ids = Array.from({ length: blocks }, (_, i) => index * blocks + i);
  if (scattered) ids.sort((a, b) => ((a * 37) % 101) - ((b * 37) % 101));
  return Int32Array.from(ids);
}

function slice(tokens: readonly number[], start: number, blocks: Int32Array): NativeSlice {
  return { tokens: Int32Array.from(tokens), start, blocks, logits: true };
}

async function prefill({ model }: Loaded, tokens: readonly number[], blocks: Int32Array, chunk: number, from = 0): Promise<Buffer> {
  let logits: Float32Array | undefined;
  for (let at = from; at < tokens.length; at += chunk) {
    logits = (await model.step([slice(tokens.slice(at, at + chunk), at, blocks)]))[0]!.logits;
  }
  return bytes(logits!);
}

function bytes(logits: Float32Array): Buffer {
  return Buffer.from(logits.buffer, logits.byteOffset, logits.byteLength);
}

describe.each(['llama', 'qwen2', 'qwen3'] as const)('%s', (architecture) => {
  const files = temporaryTinyModel({ architecture });
  afterAll(() => files[Symbol.dispose]());

  test('logits agree with a plain f64 implementation', async () => {
    const loaded = await load(files.dir);
    const tokens = prompt.slice(0, 40);
    const { logits } = (await loaded.model.step([slice(tokens, 0, table(loaded, 0))]))[0]!;
    const expected = referenceLogits(files.dir, tokens);
    const largest = Math.max(...expected.map(Math.abs));
    const worst = Math.max(...expected.map((value, i) => Math.abs(value - logits![i]!)));
    expect(worst / largest).toBeLessThan(2e-3);
    await loaded.model.dispose();
  });

  test('the same bits for every chunking, table, neighbour and number of threads', async () => {
    const one = await load(files.dir);
    const two = await load(files.dir, { threads: 2 });
    const expected = await prefill(one, prompt, table(one, 0), prompt.length);
    for (const chunk of [64, 37, 16, 7, 6, 3, 2, 1]) {
      expect((await prefill(one, prompt, table(one, 1, true), chunk)).equals(expected), `chunk ${chunk}`).toBe(true);
    }
    expect((await prefill(two, prompt, table(two, 0), 50)).equals(expected), 'two threads').toBe(true);

    // Mixed batch: another sequence decodes, ours computes its last chunk, a third begins.
    const [ours, other, third] = [table(one, 0), table(one, 1), table(one, 2)];
    await prefill(one, prompt.slice(0, 150), ours, 150);
    await prefill(one, someTokens(99, 3), other, 99);
    const mixed = await one.model.step([slice([42], 99, other), slice(prompt.slice(150), 150, ours), slice(someTokens(70, 5), 0, third)]);
    expect(bytes(mixed[1]!.logits!).equals(expected), 'mixed batch').toBe(true);

    // Batched decode: the same sequence eight times beside each other.
    const tables = [0, 1, 2, 3].map((i) => table(one, i));
    for (const blocks of tables) await prefill(one, prompt.slice(0, -1), blocks, 128);
    const decoded = await one.model.step(tables.map((blocks) => slice(prompt.slice(-1), prompt.length - 1, blocks)));
    for (const result of decoded) expect(bytes(result.logits!).equals(expected), 'batched decode').toBe(true);
    await Promise.all([one.model.dispose(), two.model.dispose()]);
  });

  test('the same bits for every block size and instruction set', async () => {
    const reference = await load(files.dir);
    const expected = await prefill(reference, prompt, table(reference, 0), 64);
    await reference.model.dispose();
    for (const blockTokens of [8, 16, 32, 64]) {
      for (const name of kernels) {
        const loaded = await load(files.dir, { blockTokens, kernels: name }).catch((error: Error & { code?: string }) => error);
        if (loaded instanceof Error) {
          expect(loaded.code).toBe('UNSUPPORTED_KERNELS');
          console.log(`this machine cannot run the ${name} kernels: not compared`);
          continue;
        }
        expect((await prefill(loaded, prompt, table(loaded, 1, true), 45)).equals(expected), `${blockTokens} tokens per block, ${name}`).toBe(true);
        expect((await prefill(loaded, prompt, table(loaded, 0), 1, 200)).equals(expected), 'wrong blocks must not give the right bits').toBe(false);
        await loaded.model.dispose();
      }
    }
  });

  test('a prefix hit and moved blocks give the same bits; a damaged block does not', async () => {
    const loaded = await load(files.dir);
    const { pool, model } = loaded;
    const { blockBytes } = model.info;
    const first = table(loaded, 0);
    const expected = await prefill(loaded, prompt, first, 64);
    const full = Math.floor((prompt.length - 1) / 16);

    const shared = Int32Array.from([...first.slice(0, full), ...table(loaded, 1).slice(full)]);
    expect((await prefill(loaded, prompt, shared, 64, full * 16)).equals(expected), 'prefix hit').toBe(true);

    const moved = table(loaded, 2, true);
    for (let i = 0; i < full; i++) {
      pool.copyWithin(moved[i]! * blockBytes, first[i]! * blockBytes, (first[i]! + 1) * blockBytes);
      pool.fill(0, first[i]! * blockBytes, (first[i]! + 1) * blockBytes);
    }
    expect((await prefill(loaded, prompt, moved, 64, full * 16)).equals(expected), 'moved').toBe(true);

    pool.fill(0, moved[3]! * blockBytes, (moved[3]! + 1) * blockBytes);
    expect((await prefill(loaded, prompt, moved, 64, full * 16)).equals(expected), 'damaged').toBe(false);
    await model.dispose();
  });
});

test('a slice that does not fit is refused by its field; a second step while one runs is refused', async () => {
  using files = temporaryTinyModel();
  const loaded = await load(files.dir);
  const { model } = loaded;
  const blocks = table(loaded, 0);
  const refusal = (bad: NativeSlice): unknown => {
    try {
      void model.step([bad]);
    } catch (error) {
      const { code, field } = error as { code: string; field: string };
      return `${code} ${field}`;
    }
    return 'accepted';
  };
  expect(refusal(slice([512], 0, blocks))).toBe('INVALID_SLICE tokens');
  expect(refusal(slice([], 0, blocks))).toBe('INVALID_SLICE tokens');
  expect(refusal(slice([1], 1024, blocks))).toBe('INVALID_SLICE start');
  expect(refusal(slice([1, 2], 15, blocks.slice(0, 1)))).toBe('INVALID_SLICE blocks');
  expect(refusal(slice([1], 0, Int32Array.of(-1)))).toBe('INVALID_SLICE blocks');
  const running = model.step([slice(prompt, 0, blocks)]);
  expect(refusal(slice([1], 0, blocks))).toBe('BUSY engine');
  await running;
  await model.dispose();
  await model.dispose();
  expect(refusal(slice([1], 0, blocks))).toBe('DISPOSED engine');
});
