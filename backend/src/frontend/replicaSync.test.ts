import { describe, expect, it } from 'vitest';
import { createLogger } from '../observability/index.ts';
import { KvRouter, type SequenceEvent } from '../router/index.ts';
import type { EventPlane } from '../runtime/index.ts';
import { ReplicaSync } from './replicaSync.ts';
import { decodeSequenceEvents, encodeSequenceEvents } from './sequenceEventCodec.ts';
import type { WorkerPool } from './workerPool.ts';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

describe('sequence events on the wire', () => {
  const add: SequenceEvent = {
    type: 'add',
    routerId: 'a',
    requestId: 'r1',
    workerId: 0xffffffffffffffffn,
    dpRank: 1,
    sequence: BigUint64Array.of(1n, 0xfffffffffffffffen),
    prefillTokens: 40,
  };
  const batch = { routerId: 'a', model: 'm', pool: 'decode' as const, events: [add, { type: 'free' as const, routerId: 'a', requestId: 'r1' }] };

  it('arrive as they were sent', () => {
    expect(decodeSequenceEvents(encodeSequenceEvents(batch))).toEqual(batch);
  });

  it.each(['', 'null', '{}', '{"router_id":"a","model":"m","pool":"decode","events":[{"type":"add"}]}'])('refuse %j', (payload) => {
    expect(() => decodeSequenceEvents(text(payload))).toThrow();
  });

  it('refuse a hash wider than 64 bits', () => {
    const wide = Buffer.from(encodeSequenceEvents(batch)).toString().replace('"18446744073709551614"', '"18446744073709551616"');
    expect(() => decodeSequenceEvents(text(wide))).toThrow(/64 bits/);
  });
});

describe('replica sync', () => {
  /** A plane on which every message reaches every listener, its sender too, as on NATS. */
  function sharedPlane(): EventPlane {
    const listeners = new Set<(payload: Uint8Array) => void>();
    return {
      kind: 'nats',
      channel: () => ({ kind: 'Nats', subjectPrefix: 'p' }),
      publish: (_topic: string, payload: Uint8Array) => listeners.forEach((listener) => listener(payload)),
      subscribe: ({ onMessage }: { onMessage: (payload: Uint8Array) => void }) => {
        listeners.add(onMessage);
        return { add: () => true, remove: () => {}, close: async () => void listeners.delete(onMessage) };
      },
    } as unknown as EventPlane;
  }
  const logger = createLogger({ target: 'test', write: () => {} });

  it('shows one frontend the load of the other, and takes it off again', async () => {
    const plane = sharedPlane();
    const routers = [1n, 2n].map((seed) => new KvRouter({ mode: 'kv', blockSize: 4, seed }));
    const [ours, theirs] = routers as [KvRouter, KvRouter];
    const syncs = routers.map((router) => {
      router.setWorkers([{ workerId: 7n }]);
      const sync = new ReplicaSync({ plane, logger });
      sync.addPool({ name: 'm', role: 'decode', router } as unknown as WorkerPool);
      return sync;
    });
    const sent = async (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));
    ours.route({ requestId: 'r', model: 'm', tokens: [1, 2, 3, 4, 5, 6, 7, 8] });
    await sent();
    expect(theirs.loads()).toMatchObject([{ activePrefillTokens: 8, activeDecodeBlocks: 2, activeRequests: 1 }]);
    ours.prefillCompleted('r');
    await sent();
    expect(theirs.loads()).toMatchObject([{ activePrefillTokens: 0, activeRequests: 1 }]);
    ours.free('r');
    await sent();
    expect(theirs.loads()).toMatchObject([{ activePrefillTokens: 0, activeDecodeBlocks: 0, activeRequests: 0 }]);
    plane.publish('', text('nonsense'));
    expect(syncs.map(({ state }) => state)).toEqual([
      { sent: 3, applied: 0, invalid: 1 },
      { sent: 0, applied: 3, invalid: 1 },
    ]);
    await Promise.all(syncs.map((sync) => sync.close()));
  });
});
