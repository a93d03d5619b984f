import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { checkTokenizer } from './tokenizerCheck.ts';

describe('the tokenizer of a worker', () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'dynamo-labs-tokenizer-'));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  const tokenizer = (vocab: Record<string, number>, added: number[]): void =>
    writeFileSync(path.join(dir, 'tokenizer.json'), JSON.stringify({ model: { vocab }, added_tokens: added.map((id) => ({ id })) }));

  it('may be smaller than the model’s vocabulary, not larger', async () => {
    tokenizer({ a: 0, b: 1 }, [2]);
    await checkTokenizer(dir, 3);
    await checkTokenizer(dir, 512);
    await expect(checkTokenizer(dir, 2)).rejects.toMatchObject({ code: 'TOKENIZER_MISMATCH', message: expect.stringMatching(/up to 2, .* has 2 tokens/) });
    tokenizer({ a: 0, b: 9 }, []);
    await expect(checkTokenizer(dir, 9)).rejects.toMatchObject({ code: 'TOKENIZER_MISMATCH' });
  });

  it('must be there and be JSON', async () => {
    await expect(checkTokenizer(path.join(dir, 'none'), 3)).rejects.toMatchObject({ code: 'TOKENIZER_MISMATCH', message: expect.stringContaining('ENOENT') });
    writeFileSync(path.join(dir, 'tokenizer.json'), '{');
    await expect(checkTokenizer(dir, 3)).rejects.toMatchObject({ code: 'TOKENIZER_MISMATCH', message: expect.stringContaining('tokenizer.json') });
  });
});
