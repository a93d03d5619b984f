import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeModel, writeTinyModel } from '../engine/modelFiles/index.ts';
import { writeTinyGguf } from '../engine/testing/ggufWriter.ts';
import { importModel, type ImportModelOptions } from './importModel.ts';

describe('adding a model', () => {
  const root = mkdtempSync(path.join(tmpdir(), 'dynamo-labs-import-'));
  const source = path.join(root, 'source');
  const add = (options: Partial<ImportModelOptions>) =>
    importModel({ cacheDir: path.join(root, 'cache'), name: 'mine', source, check: async () => {}, ...options });
  const installed = () => readdirSync(path.join(root, 'cache', 'models')).sort();
  beforeAll(() => writeTinyModel(source, { architecture: 'llama' }));
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  it('copies a Hugging Face folder, only what a model needs', async () => {
    const seen: string[] = [];
    const dir = await add({ check: async (fresh) => void seen.push(...readdirSync(fresh)) });
    expect(dir).toBe(path.join(root, 'cache', 'models', 'mine'));
    expect(seen).toEqual(expect.arrayContaining(['card.json', 'chat_template.jinja', 'config.json', 'model.safetensors', 'tokenizer.json']));
    expect(describeModel(dir).spec).toEqual(describeModel(source).spec);
    expect(readFileSync(path.join(dir, 'model.safetensors')).equals(readFileSync(path.join(source, 'model.safetensors')))).toBe(true);
  });

  it.each(['Bad!', '', '../up', '.hidden', 'a/b', 'tiny', 'x'.repeat(64)])('refuses the name %j', async (name) => {
    await expect(add({ name })).rejects.toMatchObject({ code: 'MODEL_NAME' });
  });

  it('refuses what is not there and what is not a model, by name', async () => {
    await expect(add({ source: path.join(root, 'nothing') })).rejects.toMatchObject({ code: 'NO_MODEL' });
    await expect(add({ source: path.join(root, 'cache') })).rejects.toMatchObject({ code: 'NO_MODEL' });
    await expect(add({ source: path.join(source, 'tokenizer.json') })).rejects.toMatchObject({ code: 'BAD_MAGIC' });
  });

  it('refuses a GGUF whose tokenizer it cannot make, naming the key', async () => {
    const file = path.join(root, 'no-tokenizer.gguf');
    writeTinyGguf(source, file, 'Q8_0');
    await expect(add({ name: 'other', source: file })).rejects.toMatchObject({ code: 'UNSUPPORTED_FIELD', field: 'tokenizer.ggml.model' });
    expect(installed()).toEqual(['mine']);
  });

  it('keeps the former one where the check of the new one fails', async () => {
    const failing = add({
      check: async () => {
        throw new Error('does not compute');
      },
    });
    await expect(failing).rejects.toThrow('does not compute');
    expect(installed()).toEqual(['mine']);
    expect(describeModel(path.join(root, 'cache', 'models', 'mine')).parameters).toBeGreaterThan(0);
  });
});
