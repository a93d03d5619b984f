import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { writeTinyModel, type TinyModelOptions } from '../modelFiles/index.ts';

/** A generated model in a temporary folder. */
export function temporaryTinyModel(options: TinyModelOptions = {}): { dir: string } & Disposable {
  const dir = mkdtempSync(path.join(tmpdir(), 'dynamo-labs-tiny-'));
  writeTinyModel(dir, options);
  return { dir, [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }) };
}

/** The same pseudo-random tokens for the same seed, all below 509 (no control tokens of the generated model). */
export function someTokens(count: number, seed = 7): number[] {
  let state = seed;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % 509;
  });
}
