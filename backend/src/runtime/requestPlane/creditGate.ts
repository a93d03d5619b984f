/** Lets a sender go on while it has credit, so that a slow reader holds up its own stream and nobody else's. */
export class CreditGate {
  #credit: number;
  #waiting: PromiseWithResolvers<void> | undefined;
  readonly #signal: AbortSignal;

  constructor(credit: number, signal: AbortSignal) {
    this.#credit = credit;
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#waiting?.reject(signal.reason as Error), { once: true });
  }

  add(credit: number): void {
    this.#credit += credit;
    this.#waiting?.resolve();
    this.#waiting = undefined;
  }

  /** Takes one unit, waiting for it if need be; rejects with the signal's reason. One taker at a time. */
  async take(): Promise<void> {
    this.#signal.throwIfAborted();
    while (this.#credit <= 0) {
      this.#waiting = Promise.withResolvers<void>();
      await this.#waiting.promise;
    }
    this.#credit -= 1;
  }
}
