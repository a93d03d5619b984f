import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'vitest';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

export interface Footprint {
  fds: number;
  /** The engine's: IO threads and copy workers. */
  threads: number;
  /** Pools that are mapped. */
  mappings: number;
  /** Proportional set size. */
  memoryBytes: number;
}

/** What a process must not leave behind. */
export function footprint(): Footprint {
  const mappings = readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter((line) => line.includes('dynamo-labs-pool')).length;
  const threads = readdirSync('/proc/self/task').filter((task) => threadName(task).startsWith('kv-transfer')).length;
  const pss = /^Pss:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'));
  return { fds: readdirSync('/proc/self/fd').length, threads, mappings, memoryBytes: Number(pss?.[1]) * 1024 };
}

/** After the garbage collector: what a test begins with. */
export async function baseline(): Promise<Footprint> {
  for (let i = 0; i < 5; i++) {
    collectGarbage();
    await sleep(20); // finalizers run on the event loop
  }
  return footprint();
}

/** How much more memory a process may have after many transfers than before them: what Node's own heap wavers by. */
export const memoryBound = 64 << 20;

/** Everything is as it was before, once the garbage collector has let go of the pools' buffers: descriptors, threads and mappings exactly. */
export async function expectAsBefore(before: Footprint): Promise<void> {
  let after = footprint();
  for (let i = 0; i < 100; i++) {
    collectGarbage();
    await sleep(20);
    after = footprint();
    if (after.fds <= before.fds && after.mappings <= before.mappings && after.threads <= before.threads) break;
  }
  const { memoryBytes, ...counts } = after;
  expect(counts).toEqual({ fds: before.fds, threads: before.threads, mappings: before.mappings });
  expect(memoryBytes - before.memoryBytes).toBeLessThan(memoryBound);
}

function threadName(task: string): string {
  try {
    return readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}
