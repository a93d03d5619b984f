/**
 * Joins what a cell prints into few `stream` messages: at most one per 10 ms, or one per 64 KiB, per stream name, in
 * order. The first write after a pause goes out at once, so a cell that then blocks the event loop has shown it.
 */
export class OutputStream {
  readonly #send: (name: 'stdout' | 'stderr', text: string) => void;
  #name: 'stdout' | 'stderr' = 'stdout';
  #parts: string[] = [];
  #length = 0;
  #flushedAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  constructor(send: (name: 'stdout' | 'stderr', text: string) => void) {
    this.#send = send;
  }

  write(name: 'stdout' | 'stderr', text: string): void {
    if (name !== this.#name) this.flush();
    this.#name = name;
    this.#parts.push(text);
    this.#length += text.length;
    if (this.#length >= 65_536 || performance.now() - this.#flushedAt >= 10) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), 10);
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#parts.length === 0) return;
    const text = this.#parts.join('');
    this.#parts = [];
    this.#length = 0;
    this.#flushedAt = performance.now();
    this.#send(this.#name, text);
  }
}
