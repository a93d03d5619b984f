// Preloaded into a worker (NODE_OPTIONS=--import): how long its event loop is busy at a time. Writes what it saw to DYNAMO_LABS_LOOP_PROBE at SIGUSR2.
import { renameSync, writeFileSync } from 'node:fs';
import { PerformanceObserver, type PerformanceEntry } from 'node:perf_hooks';
import { nativeAddon } from '@dynamo-labs/native';

export interface LoopTurn {
  /** Epoch milliseconds at its end. */
  at: number;
  /** CPU milliseconds of the main thread between two ticks of a 1 ms timer: what it waited for a core is not its own. */
  cpuMs: number;
}

export interface LoopSeen {
  turns: LoopTurn[];
  /** Wall milliseconds; `kind` as in `NodeGCPerformanceDetail`. */
  gc: { at: number; ms: number; kind: number }[];
}

const file = process.env['DYNAMO_LABS_LOOP_PROBE'];
if (file !== undefined) {
  const { threadCpuTime } = nativeAddon();
  const seen: LoopSeen = { turns: [], gc: [] };
  let before = threadCpuTime();
  setInterval(() => {
    const now = threadCpuTime();
    seen.turns.push({ at: Date.now(), cpuMs: now - before });
    before = threadCpuTime();
  }, 1).unref();
  const collected = (entry: PerformanceEntry & { detail?: unknown }): void => {
    const { kind } = entry.detail as { kind: number };
    seen.gc.push({ at: performance.timeOrigin + entry.startTime, ms: entry.duration, kind });
  };
  new PerformanceObserver((list) => list.getEntries().forEach(collected)).observe({ entryTypes: ['gc'] });
  process.on('SIGUSR2', () => {
    writeFileSync(`${file}.new`, JSON.stringify(seen));
    renameSync(`${file}.new`, file);
  });
}
