import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RoutingDecision } from '../backend/src/protocol/index.ts';
import { natsTestServer, type NatsTestServer } from './support/natsTestServer.ts';
import { eventually, getJson, servingGroup, type ServingGroup, type ServingProcess } from './support/servingGroup.ts';

// What breaks a router in the field, and that it finds its way again: each shown by the decisions it made.

const model = 'Qwen/Qwen2.5-1.5B-Instruct';
const kv = ['--router-mode', 'kv'];
/** Ties fall the same way in every run. */
const seeded = { DYNAMO_LABS_ROUTER_SEED: '7' };

interface RouterState {
  indexed_blocks: number;
  kv_events: { connected: boolean };
  workers: { worker_id: string; active_requests: number; active_decode_blocks: number; last_event_id: number | null; indexed_blocks: number }[];
  replica_sync: { sent: number; applied: number; invalid: number } | null;
}

const stateOf = ({ url }: ServingProcess): Promise<RouterState> => getJson(`${url}/router/state`);
/** Several KV blocks of text that begins unlike any other. */
const passage = (name: string): string => `${name}. `.repeat(30);

function ask({ url }: ServingProcess, requestId: string, prompt: string, maxTokens = 2): Promise<Response> {
  const body = JSON.stringify({ model, prompt, max_tokens: maxTokens, ignore_eos: true });
  return fetch(`${url}/v1/completions`, { method: 'POST', body, headers: { 'x-request-id': requestId }, signal: AbortSignal.timeout(60_000) });
}

/** Asks, and returns the record of where it went and why. */
async function routed(frontend: ServingProcess, requestId: string, prompt: string): Promise<RoutingDecision> {
  const answer = await ask(frontend, requestId, prompt);
  expect([requestId, answer.status]).toEqual([requestId, 200]);
  return getJson<RoutingDecision>(`${frontend.url}/router/decisions/${requestId}`);
}

/** The blocks of this prompt are in the index of the frontend. */
const indexed = (frontend: ServingProcess, { chosen, request_blocks }: RoutingDecision): Promise<RouterState> =>
  eventually(
    () => stateOf(frontend),
    ({ workers }) => (workers.find(({ worker_id }) => worker_id === chosen.worker_id)?.indexed_blocks ?? 0) >= request_blocks,
  );

let group: ServingGroup;
afterEach(() => group.close());

describe('on ZeroMQ', () => {
  beforeEach(async () => void (group = await servingGroup({ DYN_EVENT_PLANE: 'zmq' })));

  it('a killed worker is chosen no more, and its prompts find a new home; a worker that comes gets its share', async () => {
    const workers = new Map<string, ServingProcess>();
    const frontend = await group.startFrontend(kv, seeded);
    const started = async (): Promise<string> => {
      const worker = await group.startWorker();
      const { workers: seen } = await eventually(
        () => stateOf(frontend),
        (state) => state.workers.length === workers.size + 1,
      );
      const id = seen.map(({ worker_id }) => worker_id).find((one) => !workers.has(one))!;
      workers.set(id, worker);
      return id;
    };
    await started();
    await started();

    const first = await routed(frontend, 'first', passage('the tale of the depot'));
    const home = first.chosen.worker_id;
    await indexed(frontend, first);
    const second = await routed(frontend, 'second', passage('the tale of the depot'));
    expect(second.chosen).toMatchObject({ worker_id: home, overlap_blocks: second.request_blocks });
    expect(second.candidates).toHaveLength(2);

    workers.get(home)!.kill('SIGKILL');
    workers.delete(home);
    await eventually(
      () => stateOf(frontend),
      (state) => state.workers.length === 1,
    );
    const third = await routed(frontend, 'third', passage('the tale of the depot'));
    expect(third.candidates.map(({ worker_id }) => worker_id)).toEqual([...workers.keys()]);
    expect(third.chosen).toMatchObject({ worker_id: [...workers.keys()][0], overlap_blocks: 0 });
    await indexed(frontend, third);
    const fourth = await routed(frontend, 'fourth', passage('the tale of the depot'));
    expect(fourth.chosen).toMatchObject({ worker_id: third.chosen.worker_id, overlap_blocks: third.request_blocks });

    const newcomer = await started();
    const later: RoutingDecision[] = [];
    for (let i = 0; i < 12; i++) later.push(await routed(frontend, `later-${i}`, passage(`story number ${i}`)));
    expect(later.every(({ candidates }) => candidates.length === 2)).toBe(true);
    const share = later.filter(({ chosen }) => chosen.worker_id === newcomer);
    expect(share.length).toBeGreaterThan(0);
    await indexed(frontend, share.at(-1)!);
    const again = later.indexOf(share[0]!);
    expect((await routed(frontend, 'again', passage(`story number ${again}`))).chosen).toMatchObject({ worker_id: newcomer });
    // What was cached stays where it was.
    expect((await routed(frontend, 'fifth', passage('the tale of the depot'))).chosen).toMatchObject({ worker_id: third.chosen.worker_id });
  });

  it('a frontend that starts again learns from the workers what they cache', async () => {
    await group.startWorker();
    await group.startWorker();
    const before = await group.startFrontend(kv, seeded);
    await eventually(
      () => stateOf(before),
      ({ workers }) => workers.length === 2,
    );
    const first = await routed(before, 'first', passage('what a frontend forgets'));
    const { indexed_blocks } = await indexed(before, first);
    before.kill('SIGKILL');
    await before.exited;

    const after = await group.startFrontend(kv, { DYNAMO_LABS_ROUTER_SEED: '8' });
    await eventually(
      () => stateOf(after),
      (state) => state.workers.length === 2 && state.indexed_blocks === indexed_blocks,
    );
    const second = await routed(after, 'second', passage('what a frontend forgets'));
    expect(second).toMatchObject({ sequence: 0, chosen: { worker_id: first.chosen.worker_id, overlap_blocks: first.request_blocks } });
  });

  it('with replica sync a frontend sees the load that another one sent', () => replicasSeeEachOther());
});

describe('on NATS', () => {
  let server: NatsTestServer;

  beforeAll(async () => {
    server = await natsTestServer();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    if (!server.running) await server.start();
    group = await servingGroup({ NATS_SERVER: server.url });
  });

  it('without its event plane the router is blind to what is new, and sees it when the plane is back', async () => {
    const [, , frontend] = [await group.startWorker(), await group.startWorker(), await group.startFrontend(kv, seeded)];
    await eventually(
      () => stateOf(frontend),
      ({ workers, kv_events }) => workers.length === 2 && kv_events.connected,
    );
    const known = await routed(frontend, 'known', passage('told in time'));
    await indexed(frontend, known);

    await server.stop();
    await eventually(
      () => stateOf(frontend),
      ({ kv_events }) => !kv_events.connected,
    );
    const unheard = await routed(frontend, 'unheard', passage('told to nobody'));
    const blind = await routed(frontend, 'blind', passage('told to nobody'));
    expect(blind.candidates.map(({ overlap_blocks }) => overlap_blocks)).toEqual([0, 0]);
    // What was known before still holds.
    expect((await routed(frontend, 'still-known', passage('told in time'))).chosen).toMatchObject({ worker_id: known.chosen.worker_id });

    await server.start();
    const holders = new Set([unheard.chosen.worker_id, blind.chosen.worker_id]);
    await eventually(
      async () => {
        const state = await stateOf(frontend);
        return state.workers.filter(({ worker_id, last_event_id }) => holders.has(worker_id) && (last_event_id ?? -1) >= 1 - Number(holders.size === 2));
      },
      (seen) => seen.length === holders.size,
    );
    const sighted = await eventually(
      () => routed(frontend, 'sighted', passage('told to nobody')),
      ({ chosen }) => chosen.overlap_blocks > 0,
    );
    expect(holders).toContain(sighted.chosen.worker_id);
    expect(sighted.chosen.overlap_blocks).toBe(unheard.request_blocks);
  });

  it('with replica sync a frontend sees the load that another one sent', () => replicasSeeEachOther());
});

/** Two frontends before one worker: what one sends is load to the other, until it ends. */
async function replicasSeeEachOther(): Promise<void> {
  await group.startWorker();
  const [sender, watcher] = [await group.startFrontend([...kv, '--router-replica-sync']), await group.startFrontend([...kv, '--router-replica-sync'])];
  for (const frontend of [sender, watcher])
    await eventually(
      () => stateOf(frontend),
      ({ workers, kv_events }) => workers.length === 1 && kv_events.connected,
    );
  // Until both have connected to each other, what is told is lost; so it is told until it is heard.
  const running = new Set<Promise<Response>>();
  let asked = 0;
  const seen = await eventually(
    async () => {
      if (running.size === 0) running.add(ask(sender, `long-${asked++}`, passage('a long answer'), 400));
      for (const one of running) void one.then(() => running.delete(one));
      return stateOf(watcher);
    },
    ({ workers }) => workers[0]!.active_requests > 0,
  );
  expect(seen.workers[0]!.active_decode_blocks).toBeGreaterThan(0);
  const answers = await Promise.all([...running]);
  expect(answers.every(({ status }) => status === 200)).toBe(true);
  await Promise.all(answers.map((answer) => answer.text()));
  const ended = await eventually(
    () => stateOf(watcher),
    ({ workers }) => workers[0]!.active_requests === 0,
  );
  expect(ended.workers[0]).toMatchObject({ active_decode_blocks: 0 });
  expect(ended.replica_sync).toMatchObject({ sent: 0, invalid: 0 });
  expect(ended.replica_sync!.applied).toBeGreaterThanOrEqual(2);
}
