import type { RequestRecord } from '../../backend/src/protocol/requestRecord.ts';
import { eventually, getJson, type ServingProcess } from './servingGroup.ts';

/** What `/engine/state` of a worker says, as far as tests look at it. */
export interface WorkerState {
  instance_id: string;
  component: string;
  engine: {
    totalBlocks: number;
    usedBlocks: number;
    cachedBlocks: number;
    heldBlocks: number;
    running: number;
    waiting: number;
    waitingForRemoteKvs: number;
    computedTokens: number;
    transferredTokens: number;
  };
  model: { kvBytesPerBlock: number; blockTokens: number; fingerprint: string };
  requests: { total: number; running: number; cancelled: number };
  request_plane: { address: string };
  disaggregation: {
    mode: string;
    agent: string;
    addresses: string[];
    grants: { open: number; expired: number; released: number };
    held_blocks: number;
    faults: { planned: number; taken_effect: { kind: string; side: string; atByte: number }[] };
  };
}

export const workerState = (worker: ServingProcess): Promise<WorkerState> => getJson(`${worker.url}/engine/state`);

/** The frontend's record of a request, once it has ended. */
export async function recordOf(frontend: ServingProcess, requestId: string): Promise<RequestRecord> {
  return eventually(
    () => getJson<RequestRecord>(`${frontend.url}/requests/${requestId}`),
    ({ status }) => status !== undefined && status !== 'running',
  );
}

/** The sum over a metric's series, of those with these labels; 0 where there is none. */
export async function metric(of: { url: string }, name: string, labels: Record<string, string> = {}): Promise<number> {
  const text = await (await fetch(`${of.url}/metrics`, { signal: AbortSignal.timeout(10_000) })).text();
  let sum = 0;
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (match?.[1] !== name) continue;
    if (Object.entries(labels).every(([label, value]) => match[2]?.includes(`${label}="${value}"`) === true)) sum += Number(match[3]);
  }
  return sum;
}

/** KV bytes that a worker has read from others and served to others, by its own counters. */
export async function transferredBytes(worker: ServingProcess): Promise<{ read: number; served: number }> {
  const [read, served] = await Promise.all([
    metric(worker, 'dynamo_labs_kv_transfer_read_bytes_total'),
    metric(worker, 'dynamo_labs_kv_transfer_served_bytes_total'),
  ]);
  return { read, served };
}

/** Waits until no worker holds a block for anybody, no grant is open and nothing runs: nothing has leaked. */
export async function poolsEmpty(workers: readonly ServingProcess[]): Promise<WorkerState[]> {
  return eventually(
    () => Promise.all(workers.map(workerState)),
    (states) =>
      states.every(
        ({ engine, requests, disaggregation }) =>
          engine.usedBlocks === 0 &&
          engine.heldBlocks === 0 &&
          engine.running + engine.waiting + engine.waitingForRemoteKvs === 0 &&
          requests.running === 0 &&
          disaggregation.grants.open === 0 &&
          disaggregation.held_blocks === 0,
      ),
  );
}

/** Waits until a frontend has exactly so many workers of each kind. */
export async function ready(frontend: ServingProcess, count: { decode: number; prefill: number }): Promise<void> {
  const seen = (what: RegExp): number => frontend.log().match(what)?.length ?? 0;
  await eventually(
    async () => ({
      decode: seen(/: worker added/g) - seen(/: worker removed/g),
      prefill: seen(/: prefill worker added/g) - seen(/: prefill worker removed/g),
    }),
    ({ decode, prefill }) => decode === count.decode && prefill === count.prefill,
  );
}
