import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { WorkerWeight } from './engineWorker.ts';
import type { Figure } from './figure.ts';
import { median, minMax } from './spread.ts';

const script = fileURLToPath(new URL('engineWorker.ts', import.meta.url));
const blocks = 256;
const workers = 4;
const MB = 1e6;

/** Time to load with the packed weights in place, and what each worker after the first adds to the host's memory. */
export async function footprintFigures(modelDir: string, signal: AbortSignal): Promise<Figure[]> {
  const running: ChildProcess[] = [];
  const weights: WorkerWeight[] = [];
  try {
    // One after another, and all stay: a page counts as shared only while two processes map it.
    for (let i = 0; i <= workers; i += 1) {
      const child = spawn(process.execPath, [script, modelDir, String(blocks)], { stdio: ['pipe', 'pipe', 'inherit'], signal });
      child.on('error', () => {}); // the abort; the wait below tells
      running.push(child);
      const [line] = (await once(createInterface(child.stdout!), 'line', { signal: AbortSignal.any([signal, AbortSignal.timeout(300_000)]) })) as [string];
      weights.push(JSON.parse(line) as WorkerWeight);
    }
  } finally {
    await Promise.all(running.map(endOf));
  }
  const later = weights.slice(1); // the first may have packed the weights
  const loads = later.map((worker) => worker.loadSeconds);
  const own = later.map((worker) => (worker.privateBytes - worker.poolBytes) / MB);
  const shared = later.every((worker) => worker.weightsShared);
  return [
    { name: 'load, warm (wall)', value: median(loads), unit: 's', spread: minMax(loads), goal: '≤ 0.5 s', ok: median(loads) <= 0.5 },
    {
      name: 'memory of a further worker beyond its KV pool',
      value: median(own),
      unit: 'MB',
      spread: minMax(own),
      goal: '≤ 120 MB',
      ok: median(own) <= 120,
      note: `pool ${(later[0]!.poolBytes / MB).toFixed(0)} MB; weights ${shared ? 'shared by all' : 'private'}`,
    },
  ];
}

async function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.stdin?.end();
  await Promise.race([once(child, 'exit'), new Promise((resolve) => setTimeout(resolve, 10_000).unref())]);
  child.kill('SIGKILL');
}
