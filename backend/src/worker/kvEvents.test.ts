import { describe, expect, it } from 'vitest';
import { createLogger } from '../observability/index.ts';
import type { KvCacheEvent } from '../protocol/index.ts';
import { decodeKvEventBatch, type EventPlane } from '../runtime/index.ts';
import { KvEventHistory } from './kvEventHistory.ts';
import { KvEventPublisher } from './kvEventPublisher.ts';
import { kvEventsEndpoint, type KvEventsPage } from './kvEventsEndpoint.ts';

const stored = (eventId: number): KvCacheEvent => ({
  eventId,
  dpRank: 0,
  data: { type: 'stored', blocks: [{ blockHash: BigInt(eventId) + 2n ** 63n, tokensHash: 1n }] },
});

describe('KvEventHistory', () => {
  it('gives what is kept, nothing for what is to come, and says when something is gone', () => {
    const history = new KvEventHistory(4);
    expect([history.lastEventId, history.since(0)]).toEqual([-1, []]);
    for (let id = 0; id < 10; id++) history.add(stored(id));
    expect(history.lastEventId).toBe(9);
    expect(history.since(8)?.map(({ eventId }) => eventId)).toEqual([8, 9]);
    expect(history.since(10)).toEqual([]);
    expect(history.since(0)).toBeUndefined();
  });
});

describe('kv_events endpoint', () => {
  async function ask(history: KvEventHistory, dump: KvCacheEvent[], payload: unknown): Promise<KvEventsPage[]> {
    const pages: KvEventsPage[] = [];
    const handler = kvEventsEndpoint({ history, dump: () => dump });
    for await (const page of handler(payload, { requestId: 'r', signal: new AbortController().signal, bytes: { request: 0, response: 0 } }))
      pages.push(page as KvEventsPage);
    return pages;
  }
  const history = new KvEventHistory(4);
  for (let id = 0; id < 10; id++) history.add(stored(id));

  it('answers a range from the history', async () => {
    const [page] = await ask(history, [], { start_event_id: 8 });
    expect(page).toMatchObject({ kind: 'events', last_event_id: 9 });
    expect(page?.events.map((event) => event.event_id)).toEqual([8, 9]);
  });

  it('answers with the whole cache, in pages, where the history is too short or nothing is named', async () => {
    const dump = Array.from({ length: 600 }, (_, id) => stored(id));
    for (const payload of [{ start_event_id: 1 }, {}]) {
      const pages = await ask(history, dump, payload);
      expect(pages.map(({ kind, last_event_id, events }) => [kind, last_event_id, events.length])).toEqual([
        ['tree_dump', 9, 256],
        ['tree_dump', 9, 256],
        ['tree_dump', 9, 88],
      ]);
    }
  });

  it('answers an empty cache with one page, and refuses nonsense', async () => {
    expect(await ask(new KvEventHistory(), [], {})).toEqual([{ kind: 'tree_dump', last_event_id: -1, events: [] }]);
    await expect(ask(history, [], { start_event_id: 'x' })).rejects.toMatchObject({ code: 'BAD_REQUEST', refused: true });
  });
});

describe('KvEventPublisher', () => {
  it('sends the events of one turn together, in order, and repeats the newest id', async () => {
    const sent: { topic: string; ids: number[]; last: number }[] = [];
    const plane = {
      kind: 'zmq',
      state: { connected: true },
      publish: (topic: string, payload: Uint8Array) => {
        const { events, lastEventId } = decodeKvEventBatch(payload);
        sent.push({ topic, ids: events.map(({ eventId }) => eventId), last: lastEventId });
      },
    } as unknown as EventPlane;
    const lines: string[] = [];
    using publisher = new KvEventPublisher({ plane, workerId: 7n, logger: createLogger({ target: 't', write: (line) => lines.push(line) }), beaconMs: 5 });
    for (let id = 0; id < 70; id++) publisher.publish(stored(id));
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    expect(sent.slice(0, 2)).toEqual([
      { topic: 'kv-events', ids: Array.from({ length: 64 }, (_, id) => id), last: 69 },
      { topic: 'kv-events', ids: [64, 65, 66, 67, 68, 69], last: 69 },
    ]);
    expect(lines[0]).toContain('KV events published: stored 70 blocks event_ids=0..69 plane=zmq connected=true');
    while (sent.length < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(sent[2]).toEqual({ topic: 'kv_metrics', ids: [], last: 69 });
  });

  it('tells tiers apart: one message per run of one tier, ids still in order', async () => {
    const sent: { tier: string; ids: number[] }[] = [];
    const plane = {
      kind: 'zmq',
      state: { connected: true },
      publish: (_topic: string, payload: Uint8Array) => {
        const { events, storageTier } = decodeKvEventBatch(payload);
        sent.push({ tier: storageTier, ids: events.map(({ eventId }) => eventId) });
      },
    } as unknown as EventPlane;
    const lines: string[] = [];
    using publisher = new KvEventPublisher({ plane, workerId: 7n, logger: createLogger({ target: 't', write: (line) => lines.push(line) }) });
    for (const [id, host] of [false, true, true, false].entries()) publisher.publish({ ...stored(id), ...(host && { storageTier: 'host_pinned' as const }) });
    publisher.flush();
    expect(sent).toEqual([
      { tier: 'device', ids: [0] },
      { tier: 'host_pinned', ids: [1, 2] },
      { tier: 'device', ids: [3] },
    ]);
    expect(lines[0]).toContain('stored 2 blocks, moved 2 blocks to the host');
  });
});
