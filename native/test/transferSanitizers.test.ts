import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

test('router index and transfer engine under ASan + UBSan, the latter under TSan too', { timeout: 900_000 }, async () => {
  const script = path.resolve(import.meta.dirname, 'run.mjs');
  const run = promisify(execFile)(process.execPath, [script, '--sanitize'], { maxBuffer: 64 << 20 });
  const { stdout } = await run.catch((error: Error & { stdout?: string }) => {
    throw new Error(`${error.message}\n${error.stdout}`, { cause: error });
  });
  expect(stdout).toMatch(/ok {3}asan transfer_contract_test\.cc/);
  expect(stdout).toMatch(/ok {3}asan index_test\.cc/);
  expect(stdout).toMatch(/ok {3}tsan transfer_contract_test\.cc/);
});
