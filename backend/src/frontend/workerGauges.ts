import type { MetricsRegistry } from '../observability/index.ts';
import type { WorkerRole } from './workerPool.ts';

export interface WorkerSeries {
  role: WorkerRole;
  worker_id: string;
  dp_rank: number;
  activeDecodeBlocks: number;
  activePrefillTokens: number;
}

interface Last {
  ttftSeconds: number;
  inputTokens: number;
  itlSeconds?: number;
}

const labels = ['worker_id', 'dp_rank', 'worker_type'] as const;

/** `dynamo_frontend_worker_*`: what this frontend counts and last saw of each worker that is there. */
export class WorkerGauges {
  readonly #last = new Map<string, Last>();

  constructor(metrics: MetricsRegistry, workers: () => WorkerSeries[]) {
    const gauge = (name: string, help: string, read: (worker: WorkerSeries) => number | undefined): void => {
      metrics.gauge(`dynamo_frontend_worker_${name}`, help, labels, (series) => {
        series.reset();
        for (const worker of workers()) {
          const value = read(worker);
          if (value !== undefined) series.set({ worker_id: worker.worker_id, dp_rank: worker.dp_rank, worker_type: worker.role }, value);
        }
      });
    };
    gauge('active_decode_blocks', 'KV blocks of running requests, as this router counts', (worker) => worker.activeDecodeBlocks);
    gauge('active_prefill_tokens', 'Prompt tokens still to be computed, as this router counts', (worker) => worker.activePrefillTokens);
    const last = ({ worker_id, dp_rank }: WorkerSeries): Last | undefined => this.#last.get(`${worker_id}/${dp_rank}`);
    gauge('last_time_to_first_token_seconds', 'Of the worker’s last request: until its prompt was computed', (worker) => last(worker)?.ttftSeconds);
    gauge('last_input_sequence_tokens', 'Of the worker’s last request: prompt tokens', (worker) => last(worker)?.inputTokens);
    gauge('last_inter_token_latency_seconds', 'Of the worker’s last tokens: time between them', (worker) => last(worker)?.itlSeconds);
  }

  firstToken({ worker_id, dp_rank }: { worker_id: string; dp_rank: number }, ttftMs: number, inputTokens: number): void {
    const itlSeconds = this.#last.get(`${worker_id}/${dp_rank}`)?.itlSeconds;
    this.#last.set(`${worker_id}/${dp_rank}`, { ttftSeconds: ttftMs / 1000, inputTokens, ...(itlSeconds === undefined ? {} : { itlSeconds }) });
  }

  nextToken({ worker_id, dp_rank }: { worker_id: string; dp_rank: number }, itlMs: number): void {
    const last = this.#last.get(`${worker_id}/${dp_rank}`);
    if (last !== undefined) last.itlSeconds = itlMs / 1000;
  }

  /** What was seen of a worker that left means nothing any more. */
  forget(workerId: bigint): void {
    for (const key of this.#last.keys()) if (key.startsWith(`${workerId}/`)) this.#last.delete(key);
  }
}
