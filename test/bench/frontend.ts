import { spawn } from 'node:child_process';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectDir, stateLayout } from '../../backend/src/controlplane/index.ts';
import { dynamoServingPython, startDynamoServing } from '../peers/dynamoServing.ts';
import { eventually, getJson, servingGroup, type ServingGroup } from '../support/servingGroup.ts';
import type { Figure } from './figure.ts';
import { HttpClient, loadRate } from './httpLoad.ts';
import { median, minMax } from './spread.ts';

const MODEL = 'tiny';
const WORKERS = 4;
const BLOCKS = 4096;
const MODES = ['kv', 'round-robin'] as const;
type Mode = (typeof MODES)[number];

/** 40 prompts of 544 tokens, of which 528 are the beginning that a group of five has in common. */
const HIT = { groups: 8, perGroup: 5, shared: 528, tail: 16 };
/** An order in which round-robin over four workers meets its cache 15 times in 40, as it did when Dynamo's 0.362 was measured. */
const ORDER_SEED = 11;
/** Events of one request are in the index before the next is sent. */
const PAUSE_MS = 50;

const LOAD = { promptWords: 100, maxTokens: 16, rounds: 3, concurrency: [1, 16, 64] as const };

interface Serving extends AsyncDisposable {
  pid: number;
  url: string;
}

interface Measured {
  client: HttpClient;
  /** Of the frontend. */
  pid: number;
}

/** Whole frontends over HTTP: what their routers save, what a request costs them, and how many they take; beside Dynamo's with its mockers. */
export async function run({ signal, log }: { signal: AbortSignal; log: (line: string) => void }): Promise<Figure[]> {
  const found = dynamoServingPython();
  if ('missing' in found) log(`without the peer: ${found.missing}`);
  const modelDir = path.join(stateLayout().cache, 'models', MODEL);
  const theirs = (mode: Mode): (() => Promise<Serving>) | undefined =>
    'python' in found ? () => startDynamoServing({ python: found.python, modelDir, model: MODEL, mode, workers: WORKERS, blocks: BLOCKS }) : undefined;
  const figures: Figure[] = [];
  for (const mode of MODES) {
    log(`hit rate, ${mode}`);
    const ours = await measured(() => ourServing(mode, startRealWorkers), hitRate);
    const peer = await measuredPeer(theirs(mode), hitRate);
    const goal = mode === 'kv' ? { goal: '≥ 0.776', ok: ours >= 0.776 } : { goal: '0.362 ± 0.01', ok: Math.abs(ours - 0.362) <= 0.01 };
    figures.push({
      name: `cache hit rate, 40 requests × 8 prefixes × 4 workers, ${mode}`,
      value: ours,
      unit: 'of prompt tokens',
      ...beside(ours, peer),
      ...goal,
    });
    signal.throwIfAborted();
  }
  for (const mode of MODES) {
    log(`load, ${mode}`);
    const startPeer = theirs(mode);
    const measure = (ourSide: Measured): Promise<Round[][]> =>
      startPeer === undefined ? loads([ourSide]) : measured(startPeer, (theirSide) => loads([ourSide, theirSide]));
    const [ours = [], peer] = await measured(() => ourServing(mode, startMockWorkers), measure);
    for (const concurrency of LOAD.concurrency) {
      const [cpu, rate] = [ours.map((round) => round[concurrency].cpuMs), ours.map((round) => round[concurrency].perSecond)];
      const cpuRatio = beside(median(cpu), peer && median(peer.map((round) => round[concurrency].cpuMs)));
      figures.push({
        name: `frontend processor time per request, ${mode}, concurrency ${concurrency}`,
        value: median(cpu),
        unit: 'ms',
        spread: minMax(cpu),
        ...cpuRatio,
        ...('ratio' in cpuRatio ? { goal: '≤ 1.0 × Dynamo’s frontend', ok: cpuRatio.ratio <= 1 } : {}),
      });
      figures.push({
        name: `requests per second, ${mode}, concurrency ${concurrency}`,
        value: median(rate),
        unit: '/s',
        spread: minMax(rate),
        ...beside(median(rate), peer && median(peer.map((round) => round[concurrency].perSecond))),
      });
    }
    signal.throwIfAborted();
  }
  return figures;
}

function beside(ours: number, theirs: number | undefined): { peer: string; ratio: number } | { note: string } {
  return theirs === undefined ? { note: 'peer not installed' } : { peer: `Dynamo's frontend (${theirs.toPrecision(3)})`, ratio: ours / theirs };
}

async function measured<T>(start: () => Promise<Serving>, measure: (serving: Measured) => Promise<T>): Promise<T> {
  const serving = await start();
  const client = new HttpClient(serving.url);
  try {
    return await measure({ client, pid: serving.pid });
  } finally {
    client.close();
    await serving[Symbol.asyncDispose]();
  }
}

async function measuredPeer<T>(start: (() => Promise<Serving>) | undefined, measure: (serving: Measured) => Promise<T>): Promise<T | undefined> {
  return start === undefined ? undefined : measured(start, measure);
}

/** Cached prompt tokens of all prompt tokens, as the answers say. */
async function hitRate({ client }: Measured): Promise<number> {
  const order = shuffled(
    Array.from({ length: HIT.groups * HIT.perGroup }, (_, i) => i),
    ORDER_SEED,
  );
  let [cached, all] = [0, 0];
  for (const index of order) {
    const group = index % HIT.groups;
    const token = (at: number): number => 33 + ((at < HIT.shared ? group * 7919 + at * 31 + Math.floor(at / 7) : index * 104_729 + at * 17) % 200);
    const prompt = Array.from({ length: HIT.shared + HIT.tail }, (_, at) => token(at));
    const usage = await client.complete({ model: MODEL, prompt, max_tokens: 4 });
    cached += usage.prompt_tokens_details?.cached_tokens ?? 0;
    all += usage.prompt_tokens;
    await sleep(PAUSE_MS);
  }
  return cached / all;
}

type Round = Record<(typeof LOAD.concurrency)[number], { perSecond: number; cpuMs: number }>;

/** One list of rounds for each of the frontends, which take turns. No prompt is sent twice. */
async function loads(frontends: Measured[]): Promise<Round[][]> {
  let sent = 0;
  const rate = ({ client, pid }: Measured, concurrency: number, requests: number): ReturnType<typeof loadRate> => {
    const first = sent;
    sent += requests;
    const body = (index: number): Parameters<HttpClient['complete']>[0] => ({ model: MODEL, prompt: promptOf(first + index), max_tokens: LOAD.maxTokens });
    return loadRate(client, { pid, concurrency, requests, body });
  };
  for (const frontend of frontends) await rate(frontend, 16, 2000);
  const rounds: Round[][] = frontends.map(() => []);
  for (let round = 0; round < LOAD.rounds; round++) {
    for (const [i, frontend] of frontends.entries()) {
      rounds[i]!.push({ 1: await rate(frontend, 1, 400), 16: await rate(frontend, 16, 1600), 64: await rate(frontend, 64, 1600) });
    }
  }
  return rounds;
}

/** A hundred words: the first half one of eight beginnings, the rest drawn from a vocabulary of two thousand. */
function promptOf(index: number): string {
  const half = LOAD.promptWords / 2;
  const drawn = (at: number): number => (Math.imul(index * LOAD.promptWords + at + 1, 0x9e3779b1) >>> 8) % 2000;
  return Array.from({ length: LOAD.promptWords }, (_, at) => word(at < half ? (index % 8) * half + at : drawn(at))).join(' ');
}

/** A made-up word for a number: consonants and vowels in turn. */
function word(number: number): string {
  const [consonants, vowels] = ['bdfgklmnprstvz', 'aeiou'];
  let text = '';
  for (let rest = number + 70; rest > 0; rest = Math.floor(rest / 70)) {
    text += consonants[rest % 14]! + vowels[Math.floor(rest / 14) % 5]!;
  }
  return text;
}

/** Our frontend before workers that `startWorkers` starts. */
async function ourServing(mode: Mode, startWorkers: (group: ServingGroup) => Promise<AsyncDisposable>): Promise<Serving> {
  const group = await servingGroup({ DYN_EVENT_PLANE: 'zmq', DYN_LOG: 'error,dynamo_labs=info' });
  try {
    const workers = await startWorkers(group);
    const { pid, url } = await group.startFrontend(['--router-mode', mode], { DYN_LOG: 'info' });
    await eventually(
      () => getJson<{ workers: unknown[] }>(`${url}/router/state`),
      (state) => state.workers.length === WORKERS,
    );
    const close = async (): Promise<void> => {
      await workers[Symbol.asyncDispose]();
      await group.close();
    };
    return { pid, url, [Symbol.asyncDispose]: close };
  } catch (error) {
    await group.close();
    throw error;
  }
}

const workerFlags = ['--model', MODEL, '--block-size', '16', '--enable-prefix-caching', '--num-gpu-blocks-override', String(BLOCKS), '--disable-log-requests'];

/** Workers that compute: one process each. */
async function startRealWorkers(group: ServingGroup): Promise<AsyncDisposable> {
  await Promise.all(Array.from({ length: WORKERS }, () => group.startWorker(workerFlags, { DYN_LOG: 'info' })));
  return { [Symbol.asyncDispose]: async () => {} };
}

/** Workers that compute nothing, all in one process. */
async function startMockWorkers(group: ServingGroup): Promise<AsyncDisposable> {
  const { cache } = stateLayout();
  const child = spawn(process.execPath, [path.join(projectDir, 'test/bench/mockWorkers.ts'), String(WORKERS), ...workerFlags], {
    env: {
      ...process.env,
      DYN_DISCOVERY_BACKEND: 'file',
      DYN_FILE_KV: path.join(group.dir, 'kv'),
      DYN_EVENT_PLANE: 'zmq',
      DYNAMO_LABS_MODELS: path.join(cache, 'models'),
      DYNAMO_LABS_ENGINE_MODEL: MODEL,
      DYN_LOG: 'error',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await Promise.race([
    new Promise<void>((resolve) => child.stdout.on('data', (chunk: Buffer) => void (chunk.toString().includes('mock workers ready') && resolve()))),
    exited.then(() => Promise.reject(new Error('the mock workers ended'))),
  ]);
  const close = async (): Promise<void> => {
    child.kill('SIGTERM');
    await exited;
  };
  return { [Symbol.asyncDispose]: close };
}

/** Fisher-Yates with a linear congruential generator: the same order for the same seed on every machine. */
function shuffled(items: number[], seed: number): number[] {
  let state = seed;
  for (let last = items.length - 1; last > 0; last -= 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const other = Math.floor((state / 2 ** 32) * (last + 1));
    [items[last], items[other]] = [items[other]!, items[last]!];
  }
  return items;
}
