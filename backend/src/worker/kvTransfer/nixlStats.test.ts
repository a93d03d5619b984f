import { expect, test } from 'vitest';
import { createLogger, MetricsRegistry } from '../../observability/index.ts';
import type { TransferReport } from '../../transfer/index.ts';
import { NixlStats } from './nixlStats.ts';

const report = (durationUs: number, bytesDone: number, pieces: number) => ({ durationUs, bytesDone, pieces }) as TransferReport;

test("transfers are counted under vLLM's names and logged in its words, only when there were any", async () => {
  const lines: string[] = [];
  using stats = new NixlStats(createLogger({ target: 't', write: (line) => lines.push(line) }));
  const metrics = new MetricsRegistry();
  stats.register(metrics);
  stats.log();
  expect(lines).toEqual([]);
  for (let i = 1; i <= 10; i++) stats.succeeded(report(i * 1000, 2 ** 20, 30), 0.5);
  stats.failedTransfers = 2;
  stats.expiredRequests = 3;
  stats.log();
  stats.log();
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain(
    'KV Transfer metrics: Num successful transfers=10, Avg xfer time (ms)=5.5, P90 xfer time (ms)=10, Avg post time (ms)=0.5, P90 post time (ms)=0.5, ' +
      'Avg MB per transfer=1, Throughput (MB/s)=181.818, Avg number of descriptors=30',
  );
  const text = await metrics.text();
  expect(text).toMatch(/^vllm:nixl_xfer_time_seconds_count 10$/m);
  expect(text).toMatch(/^vllm:nixl_xfer_time_seconds_bucket\{le="0.005"\} 5$/m);
  expect(text).toMatch(/^vllm:nixl_bytes_transferred_sum 10485760$/m);
  expect(text).toMatch(/^vllm:nixl_num_descriptors_bucket\{le="30"\} 10$/m);
  expect(text).toMatch(/^vllm:nixl_num_failed_transfers_total 2$/m);
  expect(text).toMatch(/^vllm:nixl_num_kv_expired_reqs_total 3$/m);
});

test('quiet: counted, not logged', () => {
  const lines: string[] = [];
  {
    using stats = new NixlStats(createLogger({ target: 't', write: (line) => lines.push(line) }), { quiet: true });
    stats.succeeded(report(1000, 1, 1), 0);
    expect(stats.transfers).toBe(1);
  }
  expect(lines).toEqual([]);
});
