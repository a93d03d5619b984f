import type { MetricsRegistry } from '../observability/index.ts';
import type { ConditionalDecision, RequestCause, ServingPath } from '../protocol/index.ts';

const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** What a frontend counts about the ways requests are served. Dynamo has no names for these. */
export class DisaggregationMetrics {
  readonly #paths;
  readonly #conditional;
  readonly #prefill;
  readonly #failures;

  constructor(metrics: MetricsRegistry) {
    this.#paths = metrics.counter('dynamo_labs_frontend_requests_by_path_total', 'Requests by the way in which they were served', ['model', 'path']);
    this.#conditional = metrics.counter('dynamo_labs_frontend_conditional_disagg_total', 'Where prompts were computed, and under which policy', [
      'model',
      'policy',
      'place',
    ]);
    this.#prefill = metrics.histogram('dynamo_labs_frontend_remote_prefill_seconds', 'From the prefill request to its answer', seconds, ['model']);
    this.#failures = metrics.counter('dynamo_labs_frontend_disaggregation_failures_total', 'Remote prefills and KV handoffs that failed', ['model', 'plane']);
  }

  served(model: string, path: ServingPath): void {
    this.#paths.inc({ model, path });
  }

  decided(model: string, { policy, remote }: ConditionalDecision): void {
    this.#conditional.inc({ model, policy, place: remote ? 'remote' : 'local' });
  }

  prefilled(model: string, durationMs: number): void {
    this.#prefill.observe({ model }, durationMs / 1000);
  }

  failed(model: string, plane: RequestCause['plane']): void {
    this.#failures.inc({ model, plane });
  }
}
