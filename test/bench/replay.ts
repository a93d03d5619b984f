import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { nativeKernels } from '../../backend/src/router/native/nativeKernels.ts';
import { DEFAULT_TRACE, generateTrace, type TraceRequest } from '../../backend/src/router/replay/mooncakeTrace.ts';
import { summarize } from '../../backend/src/router/replay/replayReport.ts';
import { simulate } from '../../backend/src/router/replay/simulate.ts';
import { dynamoPython } from '../peers/dynamoPython.ts';
import type { Figure } from './figure.ts';
import { median, minMax } from './spread.ts';

const WORKERS = 4;
const SETTINGS = [
  { name: '1024 blocks, 4 req/s', blocks: 1024, rate: 4 },
  { name: '8192 blocks, 12.5 req/s', blocks: 8192, rate: 12.5 },
] as const;

interface PeerReport {
  seconds: number;
  reuse: number;
  ttft_mean_ms: number;
}

/** The same traces through our replay and Dynamo's: what they say, and what they take. */
export async function run({ signal, log }: { signal: AbortSignal; log: (line: string) => void }): Promise<Figure[]> {
  const figures: Figure[] = [];
  const found = dynamoPython();
  if ('missing' in found) log(`without the peer: ${found.missing}`);
  for (const { name, blocks, rate } of SETTINGS) {
    log(name);
    const trace = generateTrace({ ...DEFAULT_TRACE, rate });
    const peer = 'python' in found ? await dynamoReplay(found.python, trace, blocks, signal) : undefined;
    for (const [mode, theirName] of [
      ['round-robin', 'round_robin'],
      ['kv', 'kv_router'],
    ] as const) {
      const ours = replayed(trace, blocks, mode);
      const theirs = peer?.[theirName];
      const add = (what: string, value: number, unit: string, theirValue: number | undefined, more: Partial<Figure> = {}): void => {
        const compared = theirValue === undefined ? {} : { peer: "Dynamo's replay", ratio: value / theirValue };
        figures.push({ name: `${what}, ${mode}, ${name}`, value, unit, ...compared, ...more });
      };
      const reuseOk = theirs === undefined ? {} : { goal: "within 0.01 of Dynamo's or better", ok: ours.reuse >= theirs.reuse - 0.01 };
      add('prefix reuse', ours.reuse, 'of prompt tokens', theirs?.reuse, reuseOk);
      add('mean TTFT', ours.ttft, 'ms', theirs?.ttft_mean_ms);
      const seconds = median(ours.seconds);
      const faster = theirs === undefined ? {} : { goal: "less than Dynamo's", ok: seconds < theirs.seconds };
      add('processor time of the replay', seconds, 's', theirs?.seconds, { ...faster, spread: minMax(ours.seconds) });
    }
  }
  return figures;
}

function replayed(trace: TraceRequest[], blocks: number, mode: 'round-robin' | 'kv'): { reuse: number; ttft: number; seconds: number[] } {
  const kernels = nativeKernels();
  const shape = { blockSize: 64, blocks, maxNumSeqs: 256, maxNumBatchedTokens: 8192 };
  const seconds: number[] = [];
  let summary = summarize({ mode, requests: [], refused: 0 }, WORKERS);
  for (let round = 0; round < 9; round++) {
    const before = process.cpuUsage();
    const simulation = simulate({ trace, workers: WORKERS, shape, mode, kernels });
    const { user, system } = process.cpuUsage(before);
    seconds.push((user + system) / 1e6);
    summary = summarize(simulation, WORKERS);
  }
  return { reuse: summary.prefix_reuse_ratio, ttft: summary.ttft_ms.mean, seconds };
}

async function dynamoReplay(
  python: string,
  trace: TraceRequest[],
  blocks: number,
  signal: AbortSignal,
): Promise<Record<'round_robin' | 'kv_router', PeerReport>> {
  const folder = await mkdtemp(path.join(tmpdir(), 'dynamo-labs-replay-'));
  try {
    const file = path.join(folder, 'trace.jsonl');
    await writeFile(file, trace.map((request) => `${JSON.stringify(request)}\n`).join(''));
    const script = new URL('../peers/replay_dynamo.py', import.meta.url).pathname;
    const { stdout } = await promisify(execFile)(python, [script, file, String(WORKERS), String(blocks)], { signal, timeout: 120_000 });
    return JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<'round_robin' | 'kv_router', PeerReport>;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
