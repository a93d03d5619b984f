import { nativeAddon } from '@dynamo-labs/native';
import { readFileSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { someTokens, temporaryTinyModel } from '../testing/tinyModels.ts';
import { describeModel, packedWeightsFile } from './index.ts';

const files = temporaryTinyModel({ architecture: 'llama' });
afterAll(() => files[Symbol.dispose]());
const weights = path.join(files.dir, 'model.safetensors.packed');
beforeEach(() => {
  for (const file of [weights, `${weights}.new`]) rmSync(file, { force: true });
});

/** What a worker with these weights computes, and how it holds them. */
async function load(weightsFile?: { path: string; key: string }): Promise<{ shared: boolean; problem: string | undefined; logits: Buffer }> {
  const { spec, files: sources, tensors } = describeModel(files.dir);
  const options = { spec: { ...spec, maxPosition: 64 }, files: sources, tensors, blockTokens: 16, threads: 1, ...(weightsFile && { weightsFile }) };
  const model = await nativeAddon().loadModel(options);
  model.attachPool(nativeAddon().allocatePages(model.info.blockBytes * 4));
  const [result] = await model.step([{ tokens: Int32Array.from(someTokens(30)), start: 0, blocks: Int32Array.of(0, 1, 2, 3), logits: true }]);
  const { weightsShared, weightsProblem } = model.info;
  await model.dispose();
  return { shared: weightsShared, problem: weightsProblem, logits: Buffer.from(result!.logits!.buffer) };
}

const named = () => packedWeightsFile(describeModel(files.dir));
const inode = () => statSync(weights).ino;

test('the first worker writes the file, later ones map it; all compute the same bits', async () => {
  const alone = await load();
  expect(alone).toMatchObject({ shared: false, problem: undefined });
  expect(named().path).toBe(weights);
  expect(await load(named())).toMatchObject({ shared: true, logits: alone.logits });
  const written = inode();
  expect(await load(named())).toMatchObject({ shared: true, logits: alone.logits });
  expect(inode()).toBe(written);
});

test('workers that start at once write it once', async () => {
  const alone = await load();
  const workers = await Promise.all(Array.from({ length: 6 }, () => load(named())));
  for (const worker of workers) expect(worker).toMatchObject({ shared: true, logits: alone.logits });
  expect(() => statSync(`${weights}.new`)).toThrow('ENOENT');
});

test.each([
  ['cut', () => truncateSync(weights, 5000)],
  ['empty', () => truncateSync(weights, 0)],
  ['longer', () => writeFileSync(weights, Buffer.concat([readFileSync(weights), Buffer.alloc(64)]))],
  ['damaged in its weights', () => flip(statSync(weights).size - 1000)],
  ['damaged in its header', () => flip(3)],
  ['of another packing', () => flip(12)],
  ['half written by a worker that died', () => (rmSync(weights), writeFileSync(`${weights}.new`, 'half'))],
])('a file that is %s is written anew', async (_, damage) => {
  const { logits } = await load(named());
  const whole = readFileSync(weights);
  damage();
  expect(await load(named())).toMatchObject({ shared: true, logits });
  expect(readFileSync(weights).equals(whole)).toBe(true);
});

test('another model in the same place is not mistaken for the old one', async () => {
  await load(named());
  const before = named().key;
  utimesSync(path.join(files.dir, 'model.safetensors'), 1, 1);
  expect(named().key).not.toBe(before);
  const written = inode();
  await load(named());
  expect(inode()).not.toBe(written);
});

test('where it cannot be written, the weights are private and the reason is told', async () => {
  const { logits } = await load();
  const place = path.join(files.dir, 'config.json', 'below-a-file');
  expect(await load({ path: place, key: 'any' })).toEqual({ shared: false, problem: `cannot create ${place}: Not a directory`, logits });
});

function flip(at: number): void {
  const bytes = readFileSync(weights);
  bytes[at]! ^= 1;
  writeFileSync(weights, bytes);
}

test('a folder of its own can be named for it, where the folder of the model tells it from others', () => {
  const elsewhere = packedWeightsFile(describeModel(files.dir), { DYNAMO_LABS_WEIGHTS_DIR: '/packed' });
  expect(path.dirname(elsewhere.path)).toBe('/packed');
  expect(path.basename(elsewhere.path)).toMatch(new RegExp(`^${path.basename(files.dir)}-[0-9a-f]{8}\\.packed$`));
  expect(elsewhere.key).toBe(named().key);
});
