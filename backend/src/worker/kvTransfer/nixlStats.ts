import type { Logger, MetricsRegistry } from '../../observability/index.ts';
import type { TransferReport } from '../../transfer/index.ts';

/** vLLM's buckets for the same histograms. */
const secondsBuckets = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 5];
const bytesBuckets = Array.from({ length: 12 }, (_, i) => 2 ** (11 + 2 * i));
const descriptorBuckets = [10, 20, 30, 50, 75, 100, 200, 400, 1000, 2000, 4000, 10_000, 20_000, 50_000];

/** How often transfers are logged, while there are any. vLLM's interval. */
const logIntervalMs = 10_000;

interface Sample {
  transferMs: number;
  postMs: number;
  bytes: number;
  descriptors: number;
}

/** What vLLM's NixlConnector counts and logs of its transfers, under its names. */
export class NixlStats implements Disposable {
  readonly #logger: Logger;
  readonly #timer: NodeJS.Timeout | undefined;
  #observe: ((sample: Sample) => void) | undefined;
  #recent: Sample[] = [];
  transfers = 0;
  failedTransfers = 0;
  expiredRequests = 0;
  releasedRequests = 0;
  cancelledRequests = 0;

  /** `quiet`: counted, not logged. */
  constructor(logger: Logger, { quiet = false } = {}) {
    this.#logger = logger;
    this.#timer = quiet ? undefined : setInterval(() => this.log(), logIntervalMs).unref();
  }

  register(metrics: MetricsRegistry): void {
    const seconds = metrics.histogram('vllm:nixl_xfer_time_seconds', 'Duration of KV transfers', secondsBuckets);
    const post = metrics.histogram('vllm:nixl_post_time_seconds', 'Time to start a KV transfer', secondsBuckets);
    const bytes = metrics.histogram('vllm:nixl_bytes_transferred', 'Bytes of a KV transfer', bytesBuckets);
    const descriptors = metrics.histogram('vllm:nixl_num_descriptors', 'Pieces of a KV transfer', descriptorBuckets);
    metrics.counterFrom('vllm:nixl_num_failed_transfers_total', 'KV transfers that failed', () => this.failedTransfers);
    metrics.counterFrom(
      'vllm:nixl_num_kv_expired_reqs_total',
      'Requests whose KV blocks were released since no decode worker had read them in time',
      () => this.expiredRequests,
    );
    this.#observe = (sample) => {
      seconds.observe(sample.transferMs / 1000);
      post.observe(sample.postMs / 1000);
      bytes.observe(sample.bytes);
      descriptors.observe(sample.descriptors);
    };
  }

  succeeded(report: TransferReport, postMs: number): void {
    this.transfers += 1;
    const sample = { transferMs: report.durationUs / 1000, postMs, bytes: report.bytesDone, descriptors: report.pieces };
    if (this.#timer) this.#recent.push(sample);
    this.#observe?.(sample);
  }

  /** What was transferred since the last line; nothing where nothing was. */
  log(): void {
    const samples = this.#recent;
    if (samples.length === 0) return;
    this.#recent = [];
    const transfer = samples.map(({ transferMs }) => transferMs).toSorted((a, b) => a - b);
    const post = samples.map(({ postMs }) => postMs).toSorted((a, b) => a - b);
    const megabytes = sum(samples.map(({ bytes }) => bytes)) / 2 ** 20;
    const parts = [
      `Num successful transfers=${samples.length}`,
      `Avg xfer time (ms)=${round(sum(transfer) / samples.length)}`,
      `P90 xfer time (ms)=${round(p90(transfer))}`,
      `Avg post time (ms)=${round(sum(post) / samples.length)}`,
      `P90 post time (ms)=${round(p90(post))}`,
      `Avg MB per transfer=${round(megabytes / samples.length)}`,
      `Throughput (MB/s)=${round(megabytes / (sum(transfer) / 1000))}`,
      `Avg number of descriptors=${round(sum(samples.map(({ descriptors }) => descriptors)) / samples.length)}`,
    ];
    this.#logger.info(`KV Transfer metrics: ${parts.join(', ')}`);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.log();
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function p90(sorted: readonly number[]): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.9))]!;
}

function round(value: number): number {
  return Number.isFinite(value) ? Math.round(value * 1000) / 1000 : 0;
}
