import { Duplex } from 'node:stream';
import type { SpdyHeaders } from './headerBlock.ts';

/** What a stream needs of its connection. */
export interface SpdyWriter {
  sendData(id: number, data: Buffer, fin: boolean, done: (error?: Error | null) => void): void;
  reset(id: number): void;
  resume(id: number): void;
  forget(id: number): void;
}

/** One stream of a SPDY connection. `end()` half-closes; the peer's FIN ends the reading side. */
export class SpdyStream extends Duplex {
  readonly id: number;
  readonly headers: SpdyHeaders;
  readonly #writer: SpdyWriter;

  constructor(writer: SpdyWriter, id: number, headers: SpdyHeaders) {
    super({ allowHalfOpen: true, highWaterMark: 64 * 1024 });
    this.#writer = writer;
    this.id = id;
    this.headers = headers;
    // A peer that goes away is seen by 'close'; nobody has to listen for the error of a single stream.
    this.on('error', () => {});
  }

  override _read(): void {
    this.#writer.resume(this.id);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#writer.sendData(this.id, chunk, false, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#writer.sendData(this.id, Buffer.alloc(0), true, done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#writer.forget(this.id);
    if (!this.writableFinished || !this.readableEnded) this.#writer.reset(this.id);
    done(error);
  }
}
