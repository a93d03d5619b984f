import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import path from 'node:path';
import { expect, test } from 'vitest';

test('the plain C++ tests pass', { timeout: 600_000 }, async () => {
  const build = path.resolve(import.meta.dirname, '..', 'build.mjs');
  const { stdout } = await promisify(execFile)(process.execPath, [build, '--tests'], { maxBuffer: 16 << 20 });
  expect(stdout).toMatch(/100% tests passed/);
});
