import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { projectDir, stateLayout } from '../../backend/src/controlplane/index.ts';
import { ClusterView } from '../../backend/src/validation/index.ts';
import { labSolution } from './labSolution.ts';
import type { Figure } from './figure.ts';
import { median, minMax } from './spread.ts';

const repetitions = 3;
const execute = promisify(execFile);

interface Status {
  ready: boolean;
  url: string;
  kubeconfig: string;
  processes: { name: string; rssBytes: number }[];
}

/** What a person waits for and what it costs: `npm start` with everything installed, the lab's graph to Ready, idle memory. */
export async function run(options: { signal: AbortSignal; log: (line: string) => void }): Promise<Figure[]> {
  const startSeconds: number[] = [];
  const readySeconds: number[] = [];
  const memory: number[] = [];
  for (let repetition = 0; repetition < repetitions; repetition += 1) {
    const home = await mkdtemp(path.join(tmpdir(), 'dynamo-labs-bench-'));
    const env = { ...process.env, DYNAMO_LABS_HOME: home, DYNAMO_LABS_CACHE: stateLayout().cache, DYNAMO_LABS_NODEPORT_ADDRESS: '127.90.0.1' };
    try {
      const began = performance.now();
      const npm = spawn('npm', ['start'], { cwd: projectDir, env, stdio: ['ignore', 'pipe', 'inherit'], detached: true });
      await untilUrl(npm.stdout, options.signal);
      startSeconds.push((performance.now() - began) / 1000);
      const status = async (): Promise<Status> =>
        JSON.parse((await execute('npm', ['run', '--silent', 'status', '--', '--json'], { cwd: projectDir, env })).stdout) as Status;
      const { kubeconfig, processes } = await status();
      memory.push(processes.reduce((sum, { rssBytes }) => sum + rssBytes, 0) / 2 ** 30);
      const lab = await labSolution(ClusterView.fromKubeconfig(kubeconfig), options.signal);
      await lab.solve('nats');
      const applied = performance.now();
      await lab.solve('deploy');
      readySeconds.push((performance.now() - applied) / 1000);
      options.log(`start ${startSeconds.at(-1)?.toFixed(1)} s, graph ready ${readySeconds.at(-1)?.toFixed(1)} s, memory ${memory.at(-1)?.toFixed(2)} GiB`);
    } finally {
      await execute('npm', ['stop'], { cwd: projectDir, env });
      await rm(home, { recursive: true, force: true });
    }
  }
  const figure = (name: string, values: number[], unit: string, limit: number): Figure => ({
    name,
    value: median(values),
    unit,
    spread: minMax(values),
    goal: `≤ ${limit} ${unit}`,
    ok: median(values) <= limit,
  });
  return [
    figure('warm npm start to URL', startSeconds, 's', 15),
    figure('apply of vllm-kv-demo to all pods Ready', readySeconds, 's', 10),
    figure('idle memory of the whole stack', memory, 'GiB', 2.5),
  ];
}

/** `npm start` prints the URL when everything is ready. */
async function untilUrl(output: NodeJS.ReadableStream, signal: AbortSignal): Promise<void> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(180_000)]);
  await new Promise<void>((resolve, reject) => {
    let text = '';
    deadline.addEventListener('abort', () => reject(new Error(`npm start printed no URL in time:\n${text}`)), { once: true });
    output.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (/http:\/\/127\.0\.0\.1:\d+\/\S*token=/.test(text)) resolve();
    });
    output.once('end', () => reject(new Error(`npm start ended:\n${text}`)));
  });
}
