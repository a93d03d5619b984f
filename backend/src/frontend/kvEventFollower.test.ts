import { afterEach, describe, expect, it } from 'vitest';
import type { KvCacheEvent } from '../protocol/index.ts';
import { KvRouter } from '../router/index.ts';
import { encodeKvEvent, encodeKvEventBatch, ZmqEventPlane, type EventPlane } from '../runtime/index.ts';
import { FunctionPlane, instanceOf, recordingLogger, until } from './frontendFixture.ts';
import { KvEventFollower } from './kvEventFollower.ts';

const stored = (eventId: number): KvCacheEvent => ({
  eventId,
  dpRank: 0,
  data: { type: 'stored', blocks: [{ blockHash: BigInt(eventId + 1), tokensHash: BigInt(eventId + 1) }] },
});

/** A worker whose cache is a list of events, on a real event plane. */
async function setup() {
  const { logger, lines } = recordingLogger();
  const publisher = await ZmqEventPlane.open({ host: '127.0.0.1', publisher: true, logger });
  const plane: EventPlane = await ZmqEventPlane.open({ host: '127.0.0.1', publisher: false, logger });
  const made: KvCacheEvent[] = [];
  const asked: unknown[] = [];
  let broken = false;
  const requests = new FunctionPlane(async function* ({ payload }) {
    asked.push(payload);
    if (broken) throw new Error('the worker does not answer');
    const start = (payload as { start_event_id?: number }).start_event_id;
    const events = made.slice(start ?? 0).map(encodeKvEvent);
    yield { kind: start === undefined ? 'tree_dump' : 'events', last_event_id: made.length - 1, events };
  });
  const router = new KvRouter({ mode: 'kv', blockSize: 16 });
  const statuses: string[] = [];
  const follower = new KvEventFollower({ router, plane, requests, logger, graceMs: 5, onApplied: (status, type) => statuses.push(`${type}/${status}`) });
  const instance = { ...instanceOf(1), eventChannels: { 'kv-events': publisher.channel() } };
  router.setWorkers([{ workerId: 1n }]);
  const send = (topic: string, events: KvCacheEvent[]): void =>
    publisher.publish(topic, encodeKvEventBatch({ workerId: 1n, storageTier: 'device', lastEventId: made.length - 1, events }));
  const make = (count: number): KvCacheEvent[] => {
    const events = Array.from({ length: count }, () => stored(made.length));
    for (const [index] of events.entries()) {
      const event = stored(made.length);
      events[index] = event;
      made.push(event);
    }
    return events;
  };
  const blocks = (): number => router.indexStats().blocks;
  const last = (): number | undefined => router.indexStats().workers[0]?.last_event_id;
  return {
    publisher,
    follower,
    instance,
    router,
    requests,
    asked,
    statuses,
    lines,
    made,
    send,
    make,
    blocks,
    last,
    breakWorker: (now: boolean) => (broken = now),
    plane,
  };
}

let room: Awaited<ReturnType<typeof setup>>;
afterEach(async () => {
  await room.follower.close();
  await room.plane.close();
  await room.publisher.close();
});

/** Sends until the first message arrives: from then on the subscription stands. */
async function connected(): Promise<void> {
  const timer = setInterval(() => room.send('kv-events', room.make(1)), 10);
  await until(() => room.statuses.includes('stored/ok') || room.statuses.includes('stored/gap'));
  clearInterval(timer);
  await until(() => room.last() === room.made.length - 1 || (room.send('kv_metrics', []), false));
}

describe('KvEventFollower', () => {
  it('asks a new worker for everything it holds', async () => {
    room = await setup();
    room.make(5);
    room.follower.add(room.instance);
    await until(() => room.blocks() === 5);
    expect(room.asked).toEqual([{}]);
    expect(room.last()).toBe(4);
  });

  it('applies events as they come', async () => {
    room = await setup();
    room.follower.add(room.instance);
    await connected();
    const before = room.blocks();
    room.send('kv-events', room.make(3));
    await until(() => room.blocks() === before + 3);
  });

  it('asks for exactly what is missing when ids jump', async () => {
    room = await setup();
    room.follower.add(room.instance);
    await connected();
    const first = room.made.length;
    const asked = room.asked.length;
    room.make(3);
    room.send('kv-events', room.make(1));
    await until(() => room.blocks() === room.made.length);
    expect(room.asked[asked]).toEqual({ start_event_id: first });
    expect(room.lines.join('')).toContain(`KV events ${first}..${first + 2} of worker 1 are missing`);
  });

  it('notices by the beacon that the last events did not arrive', async () => {
    room = await setup();
    room.follower.add(room.instance);
    await connected();
    room.make(2);
    room.send('kv_metrics', []);
    await until(() => room.blocks() === room.made.length);
    expect(room.lines.join('')).toContain('did not arrive; asking the worker');
  });

  it('goes on when the worker cannot be asked, and tries again', async () => {
    room = await setup();
    room.breakWorker(true);
    room.make(2);
    room.follower.add(room.instance);
    await until(() => room.lines.some((line) => line.includes('could not get KV events of worker 1')));
    room.breakWorker(false);
    const timer = setInterval(() => room.send('kv_metrics', []), 10);
    await until(() => room.blocks() === 2);
    clearInterval(timer);
  });

  it('survives messages that are no events', async () => {
    room = await setup();
    room.follower.add(room.instance);
    await connected();
    room.publisher.publish('kv-events', Buffer.from('{"nonsense":true}'));
    room.publisher.publish('kv_metrics', Buffer.from('nonsense'));
    await until(() => room.statuses.includes('unknown/invalid'));
    const before = room.blocks();
    room.send('kv-events', room.make(1));
    await until(() => room.blocks() === before + 1);
  });

  it('says that a worker publishes on another plane, or not at all', async () => {
    room = await setup();
    room.follower.add({ ...room.instance, eventChannels: { 'kv-events': { kind: 'Nats', subjectPrefix: 'x' } } });
    room.follower.add({ ...room.instance, instanceId: 2n, eventChannels: {} });
    expect(room.lines.join('')).toMatch(/publishes KV events on nats, this frontend listens on zmq[\s\S]*publishes no KV events/);
    expect(room.asked).toEqual([]);
  });

  it('forgets a worker that left', async () => {
    room = await setup();
    room.make(2);
    room.follower.add(room.instance);
    await until(() => room.blocks() === 2);
    room.follower.remove(1n);
    room.router.setWorkers([]);
    room.follower.remove(1n);
    expect(room.blocks()).toBe(0);
  });
});
