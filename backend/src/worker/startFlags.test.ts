import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';

const shim = path.resolve(import.meta.dirname, '../../../assets/images/bin/vllm-runtime/python3');

/** How the image's `python3` starts a program: its arguments to Node, the program's own after them. */
function command(module: string): string[] {
  return started(module, 'echo').split(' ');
}

/** What a program in Node's place prints. */
function started(module: string, node: string, env: NodeJS.ProcessEnv = {}): string {
  return execFileSync(shim, ['-m', module, '--model', 'a b'], { env: { ...process.env, ...env, DYNAMO_LABS_NODE: node }, encoding: 'utf8' }).trim();
}

it('starts a worker with small and frequent collections of garbage, none for idleness; a frontend with Node’s defaults', () => {
  const worker = command('dynamo.vllm');
  const main = worker.findIndex((argument) => argument.endsWith('/worker/main.ts'));
  expect(worker.slice(main + 1)).toEqual(['--model', 'a', 'b']);
  const flags = worker.slice(0, main);
  const collections = ['--max-semi-space-size=1', '--minor-gc-task-trigger=10', '--no-parallel-scavenge', '--no-memory-reducer'];
  for (const flag of [...collections, '--no-flush-bytecode', '--use-largepages=silent']) {
    expect(flags).toContain(flag);
  }
  // V8 ends at a flag that it does not know.
  const script = 'console.log(v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space").space_size)';
  const fill = 'const kept = []; for (let i = 0; i < 1e6; i++) kept[i % 1000] = { i };';
  const size = Number(execFileSync(process.execPath, [...flags, '-e', `${fill} ${script}`], { encoding: 'utf8' }));
  expect(size).toBeLessThan(4 * 1024 * 1024);
  expect(command('dynamo.frontend').slice(0, 2)).toEqual(['--disable-warning=ExperimentalWarning', expect.stringMatching(/frontend\/main\.ts$/)]);
});

it('starts a frontend with malloc on huge pages, beside what the caller wants of malloc; a worker without', () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'start-flags-'));
  const node = path.join(dir, 'node');
  try {
    writeFileSync(node, '#!/bin/sh\necho "$GLIBC_TUNABLES"\n', { mode: 0o755 });
    expect(started('dynamo.frontend', node, { GLIBC_TUNABLES: '' })).toBe('glibc.malloc.hugetlb=1');
    expect(started('dynamo.frontend', node, { GLIBC_TUNABLES: 'glibc.malloc.arena_max=1' })).toBe('glibc.malloc.arena_max=1:glibc.malloc.hugetlb=1');
    expect(started('dynamo.vllm', node, { GLIBC_TUNABLES: '' })).toBe('');
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
