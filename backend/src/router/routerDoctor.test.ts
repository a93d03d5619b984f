import { describe, expect, it } from 'vitest';
import { KvRouter } from './kvRouter.ts';
import { prompt, storedEvent } from './routerFixture.ts';
import { examineRouter, type RouterHealth, type WorkerHealth } from './routerDoctor.ts';

const worker = (more: Partial<WorkerHealth> = {}): WorkerHealth => ({ worker_id: '1', dp_rank: 0, pod: 'pod-1', storesExpected: 0, ...more });
const health = (more: Partial<RouterHealth> = {}): RouterHealth => ({ mode: 'kv', kvEvents: true, blockSize: 16, events: {}, workers: [worker()], ...more });
const codes = (state: RouterHealth): string[] => examineRouter(state).map(({ code }) => code);

describe('router doctor', () => {
  it('finds nothing where nothing is wrong', () => {
    expect(examineRouter(health({ expectedWorkers: 1, events: { 'stored/ok': 5 } }))).toEqual([]);
  });

  it.each([
    ['no-workers', health({ workers: [] })],
    ['workers-missing', health({ expectedWorkers: 2 })],
    ['discovery-backend-mismatch', health({ discoveryBackend: 'kubernetes', workers: [worker({ cardDiscoveryBackend: 'etcd' })] })],
    ['block-size-mismatch', health({ workers: [worker({ cardBlockSize: 64 })] })],
    ['kv-events-off', health({ workers: [worker({ cardKvEvents: 'none' })] })],
    ['no-kv-events', health({ workers: [worker({ storesExpected: 3 })] })],
    ['event-stream-stalled', health({ workers: [worker({ storesExpected: 3, sinceLastEventMs: 60_000 })] })],
    ['event-gap', health({ workers: [worker({ openGap: { first: 3, last: 5 }, sinceLastEventMs: 1 })] })],
    ['unknown-dp-rank', health({ events: { 'stored/unknown-rank': 2 } })],
    ['orphan-blocks', health({ events: { 'stored/orphan': 1 } })],
    ['invalid-events', health({ events: { 'unknown/invalid': 1 } })],
  ])('names %s and a remedy', (code, state) => {
    const findings = examineRouter(state);
    expect(findings.map((finding) => finding.code)).toEqual([code]);
    expect(findings[0]!.remedy).not.toBe('');
  });

  it('does not ask for events where the router runs without them', () => {
    expect(codes(health({ kvEvents: false, workers: [worker({ storesExpected: 9, cardKvEvents: 'none' })] }))).toEqual([]);
    expect(codes(health({ mode: 'round-robin', workers: [worker({ storesExpected: 9 })] }))).toEqual([]);
  });

  it("sees a worker's silence through the router's own state", () => {
    let now = 0;
    const router = new KvRouter({ mode: 'kv', blockSize: 4, seed: 1n, clock: () => now });
    router.setWorkers([{ workerId: 1n }]);
    const finish = (id: string): void => {
      router.route({ requestId: id, model: 'm', tokens: prompt(2, now) });
      router.prefillCompleted(id);
      router.free(id);
    };
    // Without a token nothing need have been stored.
    for (const id of ['x', 'y', 'z']) {
      router.route({ requestId: id, model: 'm', tokens: prompt(2, now) });
      router.free(id);
    }
    expect(codes(router.health())).toEqual([]);
    for (const id of ['a', 'b', 'c']) finish(id);
    expect(codes(router.health())).toEqual(['no-kv-events']);
    router.applyEvent(storedEvent(1n, 0, prompt(2)));
    expect(codes(router.health())).toEqual([]);
    now = 60_000;
    for (const id of ['d', 'e', 'f']) finish(id);
    expect(codes(router.health())).toEqual(['event-stream-stalled']);
  });
});
