import { describe, expect, it, vi } from 'vitest';
import { OperatorMetrics } from './operatorMetrics.ts';
import { WorkQueue } from './workQueue.ts';

function queue(reconcile: (key: string) => Promise<void>, concurrency = 2): { queue: WorkQueue; errors: number[] } {
  const errors: number[] = [];
  const made = new WorkQueue({
    name: 'test',
    reconcile,
    metrics: new OperatorMetrics(),
    onError: (_key, _error, retryMs) => errors.push(retryMs),
    concurrency,
    firstRetryMs: 1,
    longestRetryMs: 4,
  });
  return { queue: made, errors };
}

describe('WorkQueue', () => {
  it('processes a key once however often it was added, and again when added meanwhile', async () => {
    const gate = Promise.withResolvers<void>();
    const reconcile = vi.fn(() => gate.promise);
    const { queue: made } = queue(reconcile);
    for (let i = 0; i < 5; i += 1) made.add('a');
    made.start();
    await vi.waitFor(() => expect(reconcile).toHaveBeenCalledTimes(1));
    made.add('a');
    made.add('a');
    expect(reconcile).toHaveBeenCalledTimes(1);
    gate.resolve();
    await vi.waitFor(() => expect(reconcile).toHaveBeenCalledTimes(2));
    await made.stop();
    expect(reconcile).toHaveBeenCalledTimes(2);
  });

  it('works on different keys at a time, never more than allowed', async () => {
    let running = 0;
    let most = 0;
    const { queue: made } = queue(async () => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
    });
    const keys = ['a', 'b', 'c', 'd', 'e'];
    for (const key of keys) made.add(key);
    made.start();
    await vi.waitFor(() => expect(most).toBe(2));
    await vi.waitFor(() => expect(running).toBe(0));
    await made.stop();
  });

  it('tries a failed key again with growing pauses', async () => {
    let calls = 0;
    const { queue: made, errors } = queue(async () => {
      calls += 1;
      if (calls <= 4) throw new Error('no');
    });
    made.add('a');
    made.start();
    await vi.waitFor(() => expect(calls).toBe(5));
    expect(errors).toEqual([1, 2, 4, 4]);
    await made.stop();
  });

  it('does nothing after stop, and stop waits for what is under way', async () => {
    const gate = Promise.withResolvers<void>();
    const reconcile = vi.fn(() => gate.promise);
    const { queue: made } = queue(reconcile);
    made.add('a');
    made.start();
    await vi.waitFor(() => expect(reconcile).toHaveBeenCalledTimes(1));
    let stopped = false;
    const stopping = made.stop().then(() => (stopped = true));
    made.add('b');
    await new Promise((resolve) => setImmediate(resolve));
    expect(stopped).toBe(false);
    gate.resolve();
    await stopping;
    expect(reconcile).toHaveBeenCalledTimes(1);
  });
});
