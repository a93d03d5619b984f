import type { MetricsRegistry } from '../observability/index.ts';

/** `preprocess`: template and tokens; `route`: choosing a worker, waiting in the queue included; `dispatch`: until the worker’s first output. */
export type Stage = 'preprocess' | 'route' | 'dispatch';
/** Which part of the work a stage is about; `aggregated` where one worker does all. */
export type Phase = 'prefill' | 'decode' | 'aggregated';

/** `dynamo_frontend_stage_requests{stage,phase}`: requests that are in a stage now. */
export class StageGauge {
  readonly #counts = new Map<string, number>();

  constructor(metrics: MetricsRegistry) {
    metrics.gauge('dynamo_frontend_stage_requests', 'Requests in each stage', ['stage', 'phase'], (gauge) => {
      for (const [key, count] of this.#counts) {
        const [stage = '', phase = ''] = key.split('/');
        gauge.set({ stage, phase }, count);
      }
    });
  }

  /** Returns what to call, once, when the request leaves the stage. */
  enter(stage: Stage, phase: Phase): () => void {
    const key = `${stage}/${phase}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    return () => this.#counts.set(key, (this.#counts.get(key) ?? 1) - 1);
  }
}
