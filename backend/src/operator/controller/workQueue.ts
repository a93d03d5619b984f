import type { OperatorMetrics } from './operatorMetrics.ts';

export interface WorkQueueOptions {
  /** Controller name, the label of its metrics. */
  name: string;
  /** Brings one object to its desired state. A rejection is retried with back-off. */
  reconcile: (key: string, signal: AbortSignal) => Promise<void>;
  onError: (key: string, error: unknown, retryMs: number) => void;
  metrics: OperatorMetrics;
  concurrency?: number;
  /** First and longest pause before a failed key is tried again, in milliseconds. */
  firstRetryMs?: number;
  longestRetryMs?: number;
}

/**
 * A keyed work queue (client-go's): a key is queued once however often it is added, never processed twice at a time, and
 * processed again when it was added while being processed.
 */
export class WorkQueue {
  readonly #options: Required<WorkQueueOptions>;
  readonly #queued = new Map<string, number>();
  readonly #active = new Map<string, Promise<void>>();
  readonly #again = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #retries = new Map<string, NodeJS.Timeout>();
  readonly #abort = new AbortController();
  #running = false;

  constructor(options: WorkQueueOptions) {
    this.#options = { concurrency: 4, firstRetryMs: 50, longestRetryMs: 30_000, ...options };
    options.metrics.maxWorkers.set({ controller: options.name }, this.#options.concurrency);
    options.metrics.activeWorkers.set({ controller: options.name }, 0);
    options.metrics.queueDepth.set(this.#labels, 0);
  }

  get #labels(): { name: string; controller: string } {
    return { name: this.#options.name, controller: this.#options.name };
  }

  /** Starts processing; keys added before wait until then. */
  start(): void {
    this.#running = true;
    this.#pump();
  }

  add(key: string): void {
    if (this.#abort.signal.aborted) return;
    this.#options.metrics.queueAdds.inc(this.#labels);
    clearTimeout(this.#retries.get(key));
    this.#retries.delete(key);
    if (this.#active.has(key)) this.#again.add(key);
    else if (!this.#queued.has(key)) this.#queued.set(key, performance.now());
    this.#pump();
  }

  /** Adds the key after a pause, unless it is added before. */
  addAfter(key: string, milliseconds: number): void {
    if (this.#abort.signal.aborted || this.#retries.has(key)) return;
    this.#retries.set(key, setTimeout(() => this.add(key), milliseconds).unref());
  }

  /** Ends processing and resolves when the last reconcile has returned. */
  async stop(): Promise<void> {
    this.#abort.abort(new Error('work queue stopped'));
    for (const timer of this.#retries.values()) clearTimeout(timer);
    this.#retries.clear();
    this.#queued.clear();
    this.#again.clear();
    await Promise.allSettled(this.#active.values());
  }

  #pump(): void {
    const { metrics, concurrency, name } = this.#options;
    while (this.#running && !this.#abort.signal.aborted && this.#active.size < concurrency) {
      const next = this.#queued.entries().next();
      if (next.done === true) break;
      const [key, since] = next.value;
      this.#queued.delete(key);
      metrics.queueSeconds.observe(this.#labels, (performance.now() - since) / 1000);
      this.#active.set(key, this.#process(key));
    }
    metrics.queueDepth.set(this.#labels, this.#queued.size);
    metrics.activeWorkers.set({ controller: name }, this.#active.size);
  }

  async #process(key: string): Promise<void> {
    const { name, metrics, reconcile, onError, firstRetryMs, longestRetryMs } = this.#options;
    const started = performance.now();
    try {
      // The caller enters this promise into #active before the reconcile begins.
      await Promise.resolve();
      await reconcile(key, this.#abort.signal);
      this.#failures.delete(key);
      metrics.reconcileTotal.inc({ controller: name, result: 'success' });
    } catch (error) {
      if (!this.#abort.signal.aborted) {
        const failures = this.#failures.get(key) ?? 0;
        this.#failures.set(key, failures + 1);
        const retryMs = Math.min(firstRetryMs * 2 ** failures, longestRetryMs);
        metrics.reconcileTotal.inc({ controller: name, result: 'error' });
        metrics.reconcileErrors.inc({ controller: name });
        metrics.queueRetries.inc(this.#labels);
        onError(key, error, retryMs);
        this.addAfter(key, retryMs);
      }
    } finally {
      metrics.reconcileSeconds.observe({ controller: name }, (performance.now() - started) / 1000);
      this.#active.delete(key);
      if (this.#again.delete(key)) this.add(key);
      this.#pump();
    }
  }
}
