import type { RoutingDecision } from '../protocol/index.ts';
import type { KvRouter } from './kvRouter.ts';
import type { RouteRequest } from './kvRouterOptions.ts';
import { RouterError } from './routerError.ts';

/** `fcfs`: first come, first served (tail latency). `wspt`: weighted shortest processing time (mean latency). */
export type QueuePolicy = 'fcfs' | 'wspt';

export interface RouterQueueOptions {
  router: KvRouter;
  /** Hold requests while every eligible worker has more prompt tokens to compute than this times its `max_num_batched_tokens`. */
  threshold: number;
  policy?: QueuePolicy;
  /** More waiting requests than this are refused with QUEUE_FULL. Default 10,000. */
  maxWaiting?: number;
  /** Milliseconds, monotonic. */
  clock?: () => number;
}

export interface QueuedRequest extends RouteRequest {
  /** Served before every request of a lower one. Default 0. */
  strictPriority?: number;
  /** `fcfs`: seconds by which the request is moved forward. `wspt`: added to its weight of 1. Default 0. */
  priorityJump?: number;
}

interface Waiting {
  request: QueuedRequest;
  strict: number;
  key: number;
  resolve(decision: RoutingDecision): void;
  reject(error: unknown): void;
}

/**
 * Keeps requests back while all workers are saturated, so that the choice is made when a worker has room and not before
 * (Dynamo's `--router-queue-threshold`). With room for everybody it costs nothing.
 */
export class RouterQueue implements Disposable {
  readonly #options: Required<RouterQueueOptions>;
  /** Next one first. */
  readonly #waiting: Waiting[] = [];
  readonly #subscription: Disposable;
  #draining = false;

  /** Throws `RouterError` INVALID_ROUTER_CONFIG. */
  constructor(options: RouterQueueOptions) {
    if (!Number.isFinite(options.threshold) || options.threshold < 0) {
      throw new RouterError('INVALID_ROUTER_CONFIG', `Expected \`threshold\` to be a finite number of at least 0, got ${String(options.threshold)}`);
    }
    this.#options = { policy: 'fcfs', maxWaiting: 10_000, clock: () => performance.now(), ...options };
    this.#subscription = options.router.onLoadChange(() => this.#drain());
  }

  /** Dynamo's `router_queue_pending_requests`. */
  get waiting(): number {
    return this.#waiting.length;
  }

  get waitingTokens(): number {
    return this.#waiting.reduce((sum, { request }) => sum + request.tokens.length, 0);
  }

  /** Routes now, or as soon as a worker has room. Rejects as `route` throws, with QUEUE_FULL, or with the signal's reason. */
  async schedule(request: QueuedRequest, signal: AbortSignal): Promise<RoutingDecision> {
    signal.throwIfAborted();
    if (this.#waiting.length === 0 && this.#hasRoom(request)) return this.#options.router.route(request);
    if (this.#waiting.length >= this.#options.maxWaiting) {
      throw new RouterError('QUEUE_FULL', `${this.#waiting.length} requests are waiting already`, 'router-queue');
    }
    const { promise, resolve, reject } = Promise.withResolvers<RoutingDecision>();
    const entry: Waiting = { request, strict: request.strictPriority ?? 0, key: this.#key(request), resolve, reject };
    const abort = (): void => {
      const at = this.#waiting.indexOf(entry);
      if (at >= 0) this.#waiting.splice(at, 1);
      reject(signal.reason);
    };
    signal.addEventListener('abort', abort, { once: true });
    this.#enqueue(entry);
    this.#drain();
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /** Refuses everything that waits. */
  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
    for (const { reject } of this.#waiting.splice(0)) reject(new RouterError('NO_WORKERS', 'The router was closed', 'router-closed'));
  }

  #key({ priorityJump = 0, tokens }: QueuedRequest): number {
    return this.#options.policy === 'fcfs' ? priorityJump * 1000 - this.#options.clock() : (1 + priorityJump) / Math.max(tokens.length, 1);
  }

  #enqueue(entry: Waiting): void {
    const after = this.#waiting.findIndex(({ strict, key }) => strict < entry.strict || (strict === entry.strict && key < entry.key));
    this.#waiting.splice(after < 0 ? this.#waiting.length : after, 0, entry);
  }

  #drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    try {
      while (this.#waiting.length > 0 && this.#hasRoom(this.#waiting[0]!.request)) {
        const { request, resolve, reject } = this.#waiting.shift()!;
        try {
          resolve(this.#options.router.route(request));
        } catch (error) {
          reject(error);
        }
      }
    } finally {
      this.#draining = false;
    }
  }

  /** Where nobody is eligible at all, `route` is asked, which says why. */
  #hasRoom(request: QueuedRequest): boolean {
    const { router, threshold } = this.#options;
    try {
      return router.eligible(request).some(({ slot, workerId }) => {
        const limit = router.worker(workerId)?.maxNumBatchedTokens ?? Infinity;
        return router.loadOf(slot).activePrefillTokens <= threshold * limit;
      });
    } catch {
      return true;
    }
  }
}
