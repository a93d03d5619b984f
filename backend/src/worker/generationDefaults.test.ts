import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { generationDefaults } from './generationDefaults.ts';

describe('sampling defaults of a model', () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'dynamo-labs-generation-'));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  const read = (text: string) => {
    writeFileSync(path.join(dir, 'generation_config.json'), text);
    return generationDefaults(dir);
  };

  it('come from generation_config.json, where there is one', () => {
    expect(generationDefaults(path.join(dir, 'none'))).toEqual({});
    expect(read('{"do_sample":true,"temperature":0.2,"top_p":0.9,"eos_token_id":[2]}')).toEqual({ temperature: 0.2, top_p: 0.9 });
    expect(read('{"eos_token_id":2}')).toEqual({});
    expect(read('{"do_sample":false,"temperature":0.6}')).toEqual({ temperature: 0 });
  });

  it('that no request could ask for are refused by name', () => {
    for (const [text, words] of [
      ['{"temperature":-1}', 'temperature'],
      ['{"top_p":0}', 'top_p'],
      ['{', 'generation_config.json'],
    ] as const) {
      expect(() => read(text)).toThrow(expect.objectContaining({ code: 'BAD_GENERATION_CONFIG', message: expect.stringContaining(words) as string }) as Error);
    }
  });
});
