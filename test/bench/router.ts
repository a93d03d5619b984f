import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { TYPESCRIPT_KERNELS } from '../../backend/src/router/index.ts';
import { nativeKernels } from '../../backend/src/router/native/nativeKernels.ts';
import { dynamoPython } from '../peers/dynamoPython.ts';
import type { Figure } from './figure.ts';
import { decisionLatencies } from './routerDecisionFigures.ts';
import { bytesPerHolding, eventRates, indexRates, type IndexRates } from './routerIndexFigures.ts';
import { selectionRates } from './routerSelectionRates.ts';
import { blockSequences } from './routerWorkload.ts';
import { median, minMax } from './spread.ts';

const SMALL = { workers: 64, count: 512, shortest: 64, longest: 512 };
const LARGE = { workers: 1000, count: 3472, shortest: 64, longest: 512 };
const SELECTION = { workers: 8, tokens: 1024 };

interface Peer {
  small: IndexRates;
  oneBlock: IndexRates;
  large: IndexRates;
  selection: number[];
}

/** As the image's python3 starts the frontend. */
export const env = { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1' };

/** The router alone, one core: index, events, decisions, memory; beside Dynamo's own objects where its wheel is installed. */
export async function run({ signal, log }: { signal: AbortSignal; log: (line: string) => void }): Promise<Figure[]> {
  const kernels = nativeKernels();
  const peer = await dynamoFigures(signal, log);
  const figures: Figure[] = [];
  const M = 1e6;
  const add = (
    name: string,
    values: number[],
    unit: string,
    more: { scale?: number; theirs?: number[] | undefined; peer?: string; least?: number; most?: number; times?: number } = {},
  ): void => {
    const { scale = 1, theirs, peer: peerName = "Dynamo's RadixTree", least, most, times } = more;
    const value = median(values) / scale;
    const ratio = theirs && median(values) / median(theirs);
    const goals = [
      least === undefined ? '' : `≥ ${least} ${unit}`,
      most === undefined ? '' : `≤ ${most} ${unit}`,
      times === undefined ? '' : `≥ ${times} × ${peerName}`,
    ].filter(Boolean);
    const met =
      (least === undefined || value >= least) && (most === undefined || value <= most) && (times === undefined || ratio === undefined || ratio >= times);
    const [low, high] = minMax(values);
    figures.push({
      name,
      value,
      unit,
      spread: [low / scale, high / scale],
      ...(ratio === undefined ? {} : { peer: peerName, ratio }),
      ...(goals.length > 0 ? { goal: goals.join(', '), ok: met } : {}),
      ...(times !== undefined && ratio === undefined ? { note: 'peer not installed' } : {}),
    });
  };

  log('index, 64 workers');
  const small = blockSequences(SMALL);
  const smallRates = indexRates(small, kernels);
  add('stored', smallRates.stored, 'M block-ops/s', { scale: M, theirs: peer?.small.stored, least: 10, times: 3 });
  add('find', smallRates.find, 'M block-ops/s', { scale: M, theirs: peer?.small.find, least: 30, times: 3 });
  add('removed', smallRates.removed, 'M block-ops/s', { scale: M, theirs: peer?.small.removed, times: 3 });
  const oneBlock = indexRates(small, kernels, { oneBlock: true });
  add('stored, one block per call', oneBlock.stored, 'M block-ops/s', { scale: M, theirs: peer?.oneBlock.stored, times: 3 });
  const events = eventRates(small, kernels);
  add('stored events, checked and counted', events.stored, 'M block-ops/s', { scale: M, theirs: peer?.small.stored });
  add('removed events, checked and counted', events.removed, 'M block-ops/s', { scale: M, theirs: peer?.small.removed });
  add('stored events of one block', eventRates(small, kernels, { oneBlock: true, rounds: 3 }).stored, 'M block-ops/s', {
    scale: M,
    theirs: peer?.oneBlock.stored,
    times: 3,
  });
  const readable = indexRates(small, TYPESCRIPT_KERNELS, { rounds: 3 });
  add('stored, TypeScript index', readable.stored, 'M block-ops/s', { scale: M, theirs: peer?.small.stored });
  add('find, TypeScript index', readable.find, 'M block-ops/s', { scale: M, theirs: peer?.small.find });
  signal.throwIfAborted();

  log('index, 1000 workers, 1 M blocks');
  const large = blockSequences(LARGE);
  const largeRates = indexRates(large, kernels);
  add('stored, 1000 workers', largeRates.stored, 'M block-ops/s', { scale: M, theirs: peer?.large.stored, times: 3 });
  add('find, 1000 workers', largeRates.find, 'M block-ops/s', { scale: M, theirs: peer?.large.find, times: 3 });
  add('removed, 1000 workers', largeRates.removed, 'M block-ops/s', { scale: M, theirs: peer?.large.removed, times: 3 });
  const bytes = bytesPerHolding(large, kernels);
  figures.push({ name: 'memory per (block, worker), 1 M blocks', value: bytes, unit: 'bytes', goal: '≤ 64 bytes', ok: bytes <= 64 });
  signal.throwIfAborted();

  log('decisions');
  for (const [workers, limit] of [
    [64, 50],
    [512, 200],
  ] as const) {
    const { p50, p99, p999, repeatedP99, copyingP99, gcShare, decisions } = await decisionLatencies({ workers, tokens: 8192, kernels });
    const what = `8k tokens, ${workers} workers`;
    add(`decision p50, ${what}`, p50, 'µs');
    add(`decision p99, ${what}`, p99, 'µs', { most: limit });
    add(`decision p99.9, ${what}`, p999, 'µs');
    add(`decision p99, second quickest of 5 equal rounds, ${what}`, [repeatedP99], 'µs');
    add(`copying the tokens, p99, ${what}`, copyingP99, 'µs');
    log(`${decisions} decisions, ${(100 * gcShare).toFixed(2)} % of their time in garbage collections`);
    signal.throwIfAborted();
  }
  const selections = selectionRates({ ...SELECTION, kernels, seconds: 1 });
  add('selections with events flowing', selections, '/s', { theirs: peer?.selection, peer: "Dynamo's SelectionService", times: 5 });
  return figures;
}

async function dynamoFigures(signal: AbortSignal, log: (line: string) => void): Promise<Peer | undefined> {
  const found = dynamoPython();
  if ('missing' in found) {
    log(`without the peer: ${found.missing}`);
    return undefined;
  }
  log("Dynamo's RadixTree and SelectionService");
  const wanted = {
    small: { ...SMALL, rounds: 3, one_block: false },
    oneBlock: { ...SMALL, rounds: 1, one_block: true },
    large: { ...LARGE, rounds: 3, one_block: false },
    selection: { workers: SELECTION.workers, prompt_tokens: SELECTION.tokens, seconds: 1 },
  };
  const script = new URL('../peers/bench_dynamo_index.py', import.meta.url).pathname;
  const { stdout } = await promisify(execFile)(found.python, [script, JSON.stringify(wanted)], {
    signal,
    timeout: 300_000,
    env: { ...process.env, DYN_LOG: 'error' },
  });
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Peer;
}
