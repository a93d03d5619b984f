import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { findServedModel, ModelNotFoundError } from './servedModel.ts';

const models = mkdtempSync(path.join(tmpdir(), 'dynamo-labs-models-'));
const env = { DYNAMO_LABS_MODELS: models };
afterAll(() => rmSync(models, { recursive: true }));

describe('findServedModel', () => {
  it('says what is missing and where it looked', () => {
    expect(() => findServedModel('Qwen/Qwen3-0.6B', env)).toThrow(ModelNotFoundError);
    expect(() => findServedModel('Qwen/Qwen3-0.6B', env)).toThrow(models);
    expect(() => findServedModel('/nowhere/model', env)).toThrow('there is no such folder');
  });

  it('serves a local folder as itself and any name by a stand-in', () => {
    mkdirSync(path.join(models, 'tiny'));
    expect(findServedModel(path.join(models, 'tiny'), env)).toEqual({ dir: path.join(models, 'tiny'), standIn: false });
    expect(findServedModel('Qwen/Qwen3-0.6B', env)).toEqual({ dir: path.join(models, 'tiny'), standIn: true });
    mkdirSync(path.join(models, 'smollm2-135m-instruct'));
    expect(findServedModel('Qwen/Qwen3-0.6B', env).dir).toContain('smollm2');
    expect(findServedModel('Qwen/Qwen3-0.6B', { ...env, DYNAMO_LABS_ENGINE_MODEL: 'tiny' }).dir).toContain('tiny');
  });
});
