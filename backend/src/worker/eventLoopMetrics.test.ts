import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { MetricsRegistry } from '../observability/index.ts';
import { observeEventLoop } from './eventLoopMetrics.ts';

async function values(metrics: MetricsRegistry): Promise<Record<string, number>> {
  const lines = (await metrics.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return Object.fromEntries(lines.map((line) => line.split(' ')).map(([name, value]) => [name!, Number(value)]));
}

describe('observeEventLoop', () => {
  it('tells how late the loop was, and begins anew at each scrape', async () => {
    const metrics = new MetricsRegistry();
    const observed = observeEventLoop(metrics);
    try {
      await sleep(50);
      await values(metrics);
      await sleep(50);
      const until = performance.now() + 300;
      while (performance.now() < until);
      await sleep(50);
      const blocked = await values(metrics);
      expect(blocked['nodejs_eventloop_lag_max_seconds']).toBeGreaterThan(0.25);
      expect(blocked['nodejs_eventloop_lag_p99_seconds']).toBeGreaterThan(0.25);
      expect(blocked['nodejs_eventloop_utilization']).toBeGreaterThan(0.3);
      expect(blocked['nodejs_eventloop_lag_p50_seconds']).toBeLessThan(blocked['nodejs_eventloop_lag_max_seconds']!);
      // Nothing was measured in between.
      expect((await values(metrics))['nodejs_eventloop_lag_max_seconds']).toBe(0);
    } finally {
      observed[Symbol.dispose]();
    }
  });
});
