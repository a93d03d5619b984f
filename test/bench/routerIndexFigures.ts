import type { RouterEvent } from '../../backend/src/protocol/index.ts';
import { sequenceHashes } from '../../backend/src/protocol/blockHash.ts';
import { KvRouter, type PrefixIndex, type RouterKernels } from '../../backend/src/router/index.ts';
import type { BlockSequence } from './routerWorkload.ts';

/** Block operations per second of processor time, one value per round. */
export interface IndexRates {
  stored: number[];
  find: number[];
  removed: number[];
}

/** Per second of processor time, so that what else runs on the machine counts less. */
function rate(blocks: number, work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return blocks / ((user + system) / 1e6);
}

/** The index itself: hashes as typed arrays, whole sequences or one block per call. */
export function indexRates(sequences: BlockSequence[], kernels: RouterKernels, { rounds = 5, oneBlock = false } = {}): IndexRates {
  const asked = sequences.map(({ local }) => sequenceHashes(local));
  const overlaps = new Uint32Array(Math.max(...sequences.map(({ worker }) => worker)) + 1);
  const blocks = sequences.reduce((sum, { local }) => sum + local.length, 0);
  const rates: IndexRates = { stored: [], find: [], removed: [] };
  for (let round = 0; round < rounds; round++) {
    const index = kernels.createIndex();
    rates.stored.push(rate(blocks, () => (oneBlock ? storeBlockByBlock(index, sequences) : storeWhole(index, sequences))));
    rates.find.push(rate(blocks, () => asked.forEach((sequence) => index.findMatches(sequence, overlaps))));
    for (const [i, { worker, local }] of sequences.entries()) {
      index.findMatches(asked[i]!, overlaps);
      if (overlaps[worker] !== local.length) throw new Error(`sequence ${i} was not found`);
    }
    rates.removed.push(rate(blocks, () => sequences.forEach(({ worker, engine }) => index.remove(worker, engine))));
    if (index.stats().holdings !== 0) throw new Error('the index is not empty after removal');
  }
  return rates;
}

function storeWhole(index: PrefixIndex, sequences: BlockSequence[]): void {
  for (const { worker, local, engine } of sequences) index.store(worker, undefined, engine, local);
}

function storeBlockByBlock(index: PrefixIndex, sequences: BlockSequence[]): void {
  for (const { worker, local, engine } of sequences) {
    for (let at = 0; at < local.length; at++) {
      index.store(worker, at === 0 ? undefined : engine[at - 1], engine.subarray(at, at + 1), local.subarray(at, at + 1));
    }
  }
}

/** The whole way of an event: checked, its id judged, counted, and stored. */
export function eventRates(sequences: BlockSequence[], kernels: RouterKernels, { rounds = 5, oneBlock = false } = {}): Pick<IndexRates, 'stored' | 'removed'> {
  const blocks = sequences.reduce((sum, { local }) => sum + local.length, 0);
  const rates: Pick<IndexRates, 'stored' | 'removed'> = { stored: [], removed: [] };
  for (let round = 0; round < rounds; round++) {
    const { stored, removed, workers } = eventsOf(sequences, oneBlock);
    const router = new KvRouter({ mode: 'kv', blockSize: 16, seed: 1n, kernels });
    router.setWorkers(Array.from({ length: workers }, (_, i) => ({ workerId: BigInt(i) })));
    rates.stored.push(rate(blocks, () => stored.forEach((event) => router.applyEvent(event))));
    rates.removed.push(rate(blocks, () => removed.forEach((event) => router.applyEvent(event))));
    if (router.indexStats().holdings !== 0) throw new Error('the index is not empty after removal');
  }
  return rates;
}

function eventsOf(sequences: BlockSequence[], oneBlock: boolean): { stored: RouterEvent[]; removed: RouterEvent[]; workers: number } {
  const ids = new Map<number, number>();
  const event = (worker: number, data: RouterEvent['event']['data']): RouterEvent => {
    const eventId = ids.get(worker) ?? 0;
    ids.set(worker, eventId + 1);
    return { workerId: BigInt(worker), storageTier: 'device', event: { eventId, dpRank: 0, data } };
  };
  const stored = sequences.flatMap(({ worker, local, engine }) => {
    const blocks = Array.from(local, (tokensHash, i) => ({ blockHash: engine[i]!, tokensHash }));
    if (!oneBlock) return [event(worker, { type: 'stored', blocks })];
    return blocks.map((block, i) => event(worker, { type: 'stored', ...(i > 0 ? { parentHash: engine[i - 1]! } : {}), blocks: [block] }));
  });
  const removed = sequences.map(({ worker, engine }) => event(worker, { type: 'removed', blockHashes: [...engine] }));
  return { stored, removed, workers: Math.max(...sequences.map(({ worker }) => worker)) + 1 };
}

/** Bytes per (block, worker) with everything stored. */
export function bytesPerHolding(sequences: BlockSequence[], kernels: RouterKernels): number {
  const index = kernels.createIndex();
  storeWhole(index, sequences);
  const { bytes = Number.NaN, holdings } = index.stats();
  return bytes / holdings;
}
