import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { expect, it } from 'vitest';

const shim = path.resolve(import.meta.dirname, '../../../assets/images/bin/vllm-runtime/python3');

/** How the image's `python3` starts a program: its arguments to Node, the program's own after them. */
function command(module: string): string[] {
  return execFileSync(shim, ['-m', module, '--model', 'a b'], { env: { ...process.env, DYNAMO_LABS_NODE: 'echo' }, encoding: 'utf8' })
    .trim()
    .split(' ');
}

it('starts a worker with small and frequent collections of garbage, none for idleness; a frontend with Node’s defaults', () => {
  const worker = command('dynamo.vllm');
  const main = worker.findIndex((argument) => argument.endsWith('/worker/main.ts'));
  expect(worker.slice(main + 1)).toEqual(['--model', 'a', 'b']);
  const flags = worker.slice(0, main);
  expect(flags).toEqual(expect.arrayContaining(['--max-semi-space-size=1', '--no-parallel-scavenge', '--no-memory-reducer', '--no-flush-bytecode']));
  // V8 ends at a flag that it does not know.
  const script = 'console.log(v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space").space_size)';
  const fill = 'const kept = []; for (let i = 0; i < 1e6; i++) kept[i % 1000] = { i };';
  const size = Number(execFileSync(process.execPath, [...flags, '-e', `${fill} ${script}`], { encoding: 'utf8' }));
  expect(size).toBeLessThan(4 * 1024 * 1024);
  expect(command('dynamo.frontend').slice(0, 2)).toEqual(['--disable-warning=ExperimentalWarning', expect.stringMatching(/frontend\/main\.ts$/)]);
});
