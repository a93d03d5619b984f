export interface ResponseStreamOptions {
  signal?: AbortSignal;
  deadlineMs?: number;
  deadlineError?: () => Error;
  acceptMs: number;
  acceptError: () => Error;
  /** Messages the sender may have under way; granted again in halves as they are read. */
  window: number;
  grant: (count: number) => void;
}

/** The caller's half of one stream: a queue between the connection and the iterating caller, with both time limits. */
export class ResponseStream {
  readonly #options: ResponseStreamOptions;
  readonly #queue: unknown[] = [];
  readonly #accept: NodeJS.Timeout;
  readonly #deadline: NodeJS.Timeout | undefined;
  readonly #onAbort: () => void;
  #wake: (() => void) | undefined;
  #error: unknown;
  #failed = false;
  #ended = false;
  #read = 0;

  constructor(options: ResponseStreamOptions) {
    this.#options = options;
    this.#accept = setTimeout(() => this.fail(options.acceptError()), options.acceptMs);
    const { deadlineMs, deadlineError, signal } = options;
    if (deadlineMs !== undefined && deadlineError !== undefined) this.#deadline = setTimeout(() => this.fail(deadlineError()), deadlineMs);
    this.#onAbort = () => this.fail(signal?.reason);
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** The worker has finished this stream, with or without an error: there is nothing left to cancel. */
  get ended(): boolean {
    return this.#ended;
  }

  /** This side gave up: time ran out, the signal was aborted, the connection was lost. */
  get failed(): boolean {
    return this.#failed;
  }

  accept(): void {
    clearTimeout(this.#accept);
  }

  push(item: unknown): void {
    if (this.#ended || this.#failed) return;
    this.#queue.push(item);
    this.#wake?.();
  }

  /** What was received before is still delivered. */
  end(error?: Error): void {
    this.#ended = true;
    if (error !== undefined && !this.#failed) {
      this.#failed = true;
      this.#error = error;
    }
    this.#wake?.();
  }

  /** Ends the stream from this side. */
  fail(error: unknown): void {
    if (this.#ended || this.#failed) return;
    this.#failed = true;
    this.#error = error;
    this.#wake?.();
  }

  async *items<T>(): AsyncIterableIterator<T> {
    while (true) {
      while (this.#queue.length > 0) {
        if (this.#options.signal?.aborted === true) throw this.#options.signal.reason;
        this.#read += 1;
        if (this.#read * 2 >= this.#options.window && !this.#ended) {
          this.#options.grant(this.#read);
          this.#read = 0;
        }
        yield this.#queue.shift() as T;
      }
      if (this.#failed) throw this.#error;
      if (this.#ended) return;
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
  }

  dispose(): void {
    clearTimeout(this.#accept);
    clearTimeout(this.#deadline);
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
  }
}
