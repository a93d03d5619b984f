import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { randomTokens, seededRandom } from '../support/randomPrompts.ts';
import { ready } from '../support/requestRecords.ts';
import { servingGroup, type ServingProcess } from '../support/servingGroup.ts';
import type { LoopSeen } from './engineLoopProbe.ts';
import type { Figure } from './figure.ts';
import { timed } from './servingLoad.ts';
import { median, minMax } from './spread.ts';

const model = 'Qwen/Qwen3-0.6B';
const goalMs = 5;
const rounds = 3;
const answer = 24;

/**
 * How long a worker's event loop is busy at a time, while a worker that has just registered gets its first request, short ones, a prompt of 4,000 tokens and
 * eight of 1,350 at once: CPU time of its main thread, and the pauses for garbage. Each round is a new worker.
 */
export async function eventLoopFigures(signal: AbortSignal, log: (line: string) => void): Promise<Figure[]> {
  const group = await servingGroup({ DYNAMO_LABS_ENGINE_MODEL: 'smollm2-135m-instruct' });
  const worst = new Map<string, number[]>();
  const note = (name: string, value: number): void => void worst.set(name, [...(worst.get(name) ?? []), value]);
  try {
    for (let round = 0; round < rounds; round++) {
      const namespace = { DYN_NAMESPACE: `loop-${round}` };
      const file = path.join(group.dir, `loop-${round}.json`);
      const probe = { NODE_OPTIONS: `--import=${import.meta.resolve('./engineLoopProbe.ts')}`, DYNAMO_LABS_LOOP_PROBE: file };
      const worker = await group.startWorker(['--model', model], { ...namespace, ...probe });
      const since = Date.now();
      const frontend = await group.startFrontend(['--router-mode', 'kv'], namespace);
      await ready(frontend, { decode: 1, prefill: 0 });
      const control = restedPages(signal);
      const ends = await load(frontend, seededRandom(round + 1), signal);
      const rested = await control();
      note('rested p50', median(rested));
      note('rested longest', Math.max(...rested));
      worker.kill('SIGUSR2');
      const { turns, gc } = await written(file, signal);
      let from = since;
      for (const [phase, to] of ends) {
        note(phase, Math.max(...turns.filter(({ at }) => at > from && at <= to).map(({ cpuMs }) => cpuMs)));
        from = to;
      }
      const all = turns
        .filter(({ at }) => at > since && at <= from)
        .map(({ cpuMs }) => cpuMs)
        .toSorted((a, b) => a - b);
      note('longest', all.at(-1)!);
      note('p99', all[Math.floor(all.length * 0.99)]!);
      note('gc', Math.max(0, ...gc.filter(({ at }) => at > since && at <= from).map(({ ms }) => ms)));
      log(`round ${round + 1}: longest turn ${all.at(-1)!.toFixed(1)} ms of ${all.length}`);
      const ended = [worker.exited, frontend.exited];
      for (const one of [worker, frontend]) one.kill('SIGTERM');
      await Promise.all(ended);
    }
  } finally {
    await group.close();
  }
  const figure = (name: string, key: string, rest: Partial<Figure> = {}): Figure => {
    const values = worst.get(key)!;
    return { name: `event loop of a worker, ${name}`, value: median(values), unit: 'ms', spread: minMax(values), ...rest };
  };
  return [
    figure('longest turn (CPU)', 'longest', { goal: `≤ ${goalMs} ms`, ok: median(worst.get('longest')!) <= goalMs }),
    figure('p99 (CPU)', 'p99'),
    figure('longest pause for garbage (wall)', 'gc', { note: 'waiting for a core included' }),
    figure('beside it: 1,024 pages touched that rested 350 ms, median (CPU)', 'rested p50', { note: 'the price of this machine' }),
    figure('beside it: 1,024 pages touched that rested 350 ms, longest (CPU)', 'rested longest', { note: 'the price of this machine' }),
    ...[...phases].map((phase) => figure(`${phase}, longest turn`, phase)),
  ];
}

/** Starts the control; the function ends it and returns what it measured, in milliseconds. */
function restedPages(signal: AbortSignal): () => Promise<number[]> {
  const child = spawn(process.execPath, [...process.execArgv, path.join(import.meta.dirname, 'engineLoopControl.ts')], {
    stdio: ['ignore', 'pipe', 'inherit'],
    signal,
  });
  const seen = text(child.stdout);
  const ended = once(child, 'exit');
  return async () => {
    child.kill();
    await ended;
    return (await seen).trim().split('\n').map(Number);
  };
}

const phases = ['idle', 'first request', 'short requests', 'a prompt of 4,000', 'eight of 1,350 at once'] as const;

/** Each phase with the time of its end. */
async function load(frontend: ServingProcess, random: () => number, signal: AbortSignal): Promise<[string, number][]> {
  const ask = async (tokens: number): Promise<unknown> => timed({ frontend, model, prompt: randomTokens(random, tokens), maxTokens: answer, signal });
  const steps: (() => Promise<unknown>)[] = [
    () => sleep(1_500, undefined, { signal }),
    () => ask(40),
    async () => {
      for (let i = 0; i < 5; i++) await ask(40);
    },
    () => ask(4_000),
    () => Promise.all(Array.from({ length: 8 }, () => ask(1_350))),
  ];
  const ends: [string, number][] = [];
  for (const [i, step] of steps.entries()) {
    await step();
    ends.push([phases[i]!, Date.now()]);
  }
  return ends;
}

async function written(file: string, signal: AbortSignal): Promise<LoopSeen> {
  for (let tries = 0; ; tries++) {
    try {
      return JSON.parse(await readFile(file, 'utf8')) as LoopSeen;
    } catch (cause) {
      if (tries >= 200) throw new Error('the worker did not tell of its event loop', { cause });
      await sleep(50, undefined, { signal });
    }
  }
}
