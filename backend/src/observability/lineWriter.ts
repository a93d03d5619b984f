import { write as writeFd, writeSync } from 'node:fs';

export interface LineWriterOptions {
  /** Where lines go. Default 2, standard error. */
  fd?: number;
  /** Characters that may wait for a slow reader; lines beyond are dropped, and their number is told when there is room again. Default 4 Mi. */
  limit?: number;
}

/** A descriptor that others have made non-blocking is tried again so soon, in milliseconds. */
const retryMs = 5;

/**
 * Writes log lines without waiting for who reads them. `process.stderr` on a pipe waits in the event loop until the line is in the pipe, and a pipe is as
 * fast as its reader; here lines of one turn go out together, one write at a time, on a thread of libuv's pool.
 */
export class LineWriter {
  readonly #fd: number;
  readonly #limit: number;
  #waiting = '';
  #dropped = 0;
  #writing = false;

  constructor(options: LineWriterOptions = {}) {
    this.#fd = options.fd ?? 2;
    this.#limit = options.limit ?? 4 * 1024 * 1024;
  }

  readonly write = (line: string): void => {
    if (this.#waiting.length + line.length > this.#limit) {
      this.#dropped += 1;
      return;
    }
    this.#waiting += line;
    if (this.#writing) return;
    this.#writing = true;
    setImmediate(() => this.#next());
  };

  /** For the end of the process: writes what still waits, and waits for it. What is in flight is not waited for. */
  readonly flushSync = (): void => {
    const text = this.#take();
    if (text.length === 0) return;
    try {
      writeSync(this.#fd, text);
    } catch {
      // nobody reads any more
    }
  };

  #take(): Buffer {
    const note = this.#dropped > 0 ? `(${this.#dropped} log lines dropped: they were not read fast enough)\n` : '';
    const text = Buffer.from(this.#waiting + note);
    this.#waiting = '';
    this.#dropped = 0;
    return text;
  }

  #next(): void {
    const text = this.#take();
    this.#writing = text.length > 0;
    if (this.#writing) this.#put(text);
  }

  #put(text: Buffer): void {
    writeFd(this.#fd, text, (error, written) => {
      if (error?.code === 'EAGAIN') setTimeout(() => this.#put(text), retryMs);
      else if (error === null && written < text.length) this.#put(text.subarray(written));
      else this.#next(); // all of it, or nobody reads any more
    });
  }
}
