import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import type { MetricsRegistry } from '../observability/index.ts';

/** How often the loop is asked whether it is late, in milliseconds; as prom-client's default metrics. */
const resolutionMs = 10;
const seconds = (nanoseconds: number): number => (Number.isFinite(nanoseconds) ? nanoseconds / 1e9 : 0);

/**
 * The event loop under the names of prom-client's default metrics: how late it was since the last scrape (what it waited for a core included), and the
 * share of time that it was busy. The model computes on a thread of its own: a worker whose loop is late blocks in something else.
 */
export function observeEventLoop(metrics: MetricsRegistry): Disposable {
  const delay = monitorEventLoopDelay({ resolution: resolutionMs });
  delay.enable();
  // It measures the time between two looks.
  const late = (nanoseconds: number): number => Math.max(0, seconds(nanoseconds) - resolutionMs / 1000);
  let before = performance.eventLoopUtilization();
  const gauge = (name: string, help: string, read: () => number): void => void metrics.gauge(name, help, [], (series) => series.set(read()));
  gauge('nodejs_eventloop_utilization', 'Share of time since the last scrape in which the event loop was not idle, 0 to 1', () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    return utilization;
  });
  gauge('nodejs_eventloop_lag_mean_seconds', 'Mean lateness of the event loop since the last scrape', () => late(delay.mean));
  gauge('nodejs_eventloop_lag_p50_seconds', 'Median lateness of the event loop since the last scrape', () => late(delay.percentile(50)));
  gauge('nodejs_eventloop_lag_p99_seconds', '99th percentile of the lateness of the event loop since the last scrape', () => late(delay.percentile(99)));
  // The last one read: the next scrape begins anew.
  gauge('nodejs_eventloop_lag_max_seconds', 'Longest lateness of the event loop since the last scrape', () => {
    const most = late(delay.max);
    delay.reset();
    return most;
  });
  return { [Symbol.dispose]: () => void delay.disable() };
}
