import type { EngineOutput } from '../protocol/index.ts';

/** One request's outputs on their way from the step loop to its reader. Single reader; never blocks the writer. */
export class OutputStream {
  readonly #items: EngineOutput[] = [];
  #wake: (() => void) | undefined;
  #ended = false;

  push(item: EngineOutput): void {
    this.#items.push(item);
    this.#wake?.();
  }
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<EngineOutput, void, void> {
    for (;;) {
      const item = this.#items.shift();
      if (item) yield item;
      else if (this.#ended) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
