import { execFile } from 'node:child_process';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../backend/src/controlplane/freePort.ts';
import { createLogger } from '../backend/src/observability/index.ts';
import { eventPlaneContract } from '../backend/src/runtime/eventPlane/eventPlane.contract.ts';
import { NatsEventPlane } from '../backend/src/runtime/index.ts';
import { natsTestServer, type NatsTestServer } from './support/natsTestServer.ts';
import { eventually, getJson, servingGroup } from './support/servingGroup.ts';

let server: NatsTestServer;

const lines: string[] = [];
const logger = createLogger({ target: 'test', write: (line) => lines.push(line) });
const plane = (name: string): NatsEventPlane => new NatsEventPlane({ server: server.url, name, subjectPrefix: 'namespace.dynamo.component.backend', logger });

beforeAll(async () => {
  server = await natsTestServer();
  await server.start();
});
afterAll(() => server.stop());

eventPlaneContract('nats', async () => ({
  publisher: async () => plane('publisher'),
  subscriber: async () => plane('subscriber'),
  close: async () => {},
}));

describe('the nats-box image’s nats', () => {
  const script = path.resolve('assets/images/bin/nats-box/nats');
  const nats = (...argv: string[]): Promise<{ code: number; output: string }> =>
    new Promise((resolve) => {
      execFile(script, argv, { env: { ...process.env, DYNAMO_LABS_NODE: process.execPath }, timeout: 30_000 }, (error, stdout) =>
        resolve({ code: error === null ? 0 : Number(error.code), output: stdout }),
      );
    });

  it('checks a connection, with the server named before the command, and ends as a Nagios plugin does', async () => {
    expect(await nats('--server', server.url, 'server', 'check', 'connection')).toEqual({
      code: 0,
      output: expect.stringMatching(/^OK Connection OK:connected to nats:\/\/127\.0\.0\.1:\d+ in [\d.]+s OK:rtt time [\d.]+s OK:round trip took [\d.]+s \| /),
    });
    const nobody = `nats://127.0.0.1:${await freePort()}`;
    expect(await nats('--server', nobody, 'server', 'check', 'connection')).toEqual({
      code: 2,
      output: expect.stringContaining('CRITICAL Connection Crit:connection failed: CONNECTION_REFUSED'),
    });
  });
});

describe('NATS event plane', () => {
  it('survives the loss of its server, says so, and reports what may have been missed', async () => {
    const [publisher, subscriber] = [plane('publisher'), plane('subscriber')];
    const seen: string[] = [];
    let interruptions = 0;
    const subscription = subscriber.subscribe({
      topic: 'kv-events',
      onMessage: (payload) => seen.push(new TextDecoder().decode(payload)),
      onInterruption: () => (interruptions += 1),
    });
    subscription.add(publisher.channel());
    const say = (text: string): void => publisher.publish('kv-events', new TextEncoder().encode(text));
    await eventually(
      async () => {
        say('before');
        return seen;
      },
      (all) => all.includes('before'),
    );
    await server.stop();
    await eventually(
      async () => [publisher.state.connected, subscriber.state.connected],
      (connected) => connected.every((one) => !one),
    );
    expect(publisher.state.problem).toBe('the connection ended');
    expect(lines.join('')).toContain('Serving goes on; KV events are not delivered.');
    say('lost or late');
    await server.start();
    await eventually(
      async () => [publisher.state.connected, subscriber.state.connected],
      (connected) => connected.every(Boolean),
    );
    await eventually(
      async () => {
        say('after');
        return seen;
      },
      (all) => all.includes('after'),
    );
    expect(interruptions).toBeGreaterThan(0);
    expect(subscriber.state.reconnects).toBeGreaterThan(0);
    await publisher.close();
    await subscriber.close();
  });

  it('waits for a server that is not there yet, and delivers what was published meanwhile', async () => {
    await server.stop();
    const publisher = plane('early');
    publisher.publish('kv-events', new TextEncoder().encode('early'));
    expect(publisher.state).toMatchObject({ connected: false, published: 0 });
    await server.start();
    await eventually(
      async () => publisher.state,
      ({ connected, published }) => connected && published === 1,
    );
    await publisher.close();
  });
});

describe('serving while NATS is away', () => {
  interface State {
    indexed_blocks: number;
    kv_events: { connected: boolean; problem?: string };
    workers: { last_event_id: number | null }[];
  }

  it('answers go on, the router says that it is blind, and catches up when NATS is back', async () => {
    const group = await servingGroup({ NATS_SERVER: server.url });
    try {
      const [worker, frontend] = [await group.startWorker(), await group.startFrontend(['--router-mode', 'kv'])];
      const state = (): Promise<State> => getJson(`${frontend.url}/router/state`);
      const ask = async (prompt: string): Promise<number> => {
        const body = JSON.stringify({ model: 'Qwen/Qwen2.5-1.5B-Instruct', prompt: prompt.repeat(20), max_tokens: 2 });
        return (await fetch(`${frontend.url}/v1/completions`, { method: 'POST', body })).status;
      };
      await eventually(state, ({ workers, kv_events }) => workers.length === 1 && kv_events.connected);
      expect(await ask('With NATS. ')).toBe(200);
      const before = await eventually(state, ({ indexed_blocks }) => indexed_blocks > 0);

      await server.stop();
      await eventually(state, ({ kv_events }) => !kv_events.connected);
      expect(await ask('Without NATS. ')).toBe(200);
      expect(await state()).toMatchObject({ indexed_blocks: before.indexed_blocks, kv_events: { connected: false, problem: 'the connection ended' } });
      const worked = await getJson<{ kv_events: { last_event_id: number; connected: boolean } }>(`${worker.url}/engine/state`);
      expect(worked.kv_events).toMatchObject({ connected: false });
      expect(worked.kv_events.last_event_id).toBeGreaterThan(before.workers[0]?.last_event_id ?? Infinity);

      await server.start();
      const after = await eventually(state, ({ workers }) => workers[0]?.last_event_id === worked.kv_events.last_event_id);
      expect(after.indexed_blocks).toBeGreaterThan(before.indexed_blocks);
    } finally {
      await group.close();
    }
  });
});
