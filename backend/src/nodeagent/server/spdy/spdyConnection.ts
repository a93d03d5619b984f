import { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import { decodeHeaders, encodeHeaders, HeaderCodec, type SpdyHeaders } from './headerBlock.ts';
import { SpdyStream, type SpdyWriter } from './spdyStream.ts';

/** Control frame types of SPDY/3.1 that occur here. */
const frameType = { synStream: 1, synReply: 2, reset: 3, ping: 6, goAway: 7, headers: 8 };
const flagFin = 1;
const statusCancel = 5;
const headerBytes = 8;
/** Frames carry at most this much, so that streams take turns. */
const maxDataBytes = 64 * 1024;

function words(...values: number[]): Buffer {
  const buffer = Buffer.alloc(4 * values.length);
  values.forEach((value, index) => buffer.writeUInt32BE(value >>> 0, 4 * index));
  return buffer;
}

/**
 * A SPDY/3.1 connection over an upgraded socket, as the API server and kubectl speak it (moby/spdystream): many streams, one
 * compression context for the headers of each direction, and no flow control but the socket's own (WINDOW_UPDATE is neither
 * sent nor minded by the Go side). Emits `stream` for each stream of the peer, after the reply was sent, and `close`.
 */
export class SpdyConnection extends EventEmitter<{ stream: [SpdyStream]; close: [] }> implements SpdyWriter {
  readonly #socket: Duplex;
  readonly #streams = new Map<number, SpdyStream>();
  /** Streams whose buffers are full: the socket rests until all of them were read. */
  readonly #full = new Set<number>();
  readonly #inflate = new HeaderCodec('decompress');
  readonly #deflate = new HeaderCodec('compress');
  readonly #server: boolean;
  #chunks: Buffer[] = [];
  #buffered = 0;
  #parsing = false;
  #nextId: number;

  constructor(socket: Duplex, role: 'server' | 'client' = 'server') {
    super();
    this.#socket = socket;
    this.#server = role === 'server';
    this.#nextId = this.#server ? 2 : 1;
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#buffered += chunk.length;
      void this.#parse();
    });
    socket.on('error', () => socket.destroy());
    socket.on('end', () => socket.end());
    socket.once('close', () => {
      for (const stream of this.#streams.values()) stream.destroy();
      this.#inflate.close();
      this.#deflate.close();
      this.emit('close');
    });
  }

  /** Opens a stream (only the client side of tests does). */
  async open(headers: SpdyHeaders): Promise<SpdyStream> {
    const id = this.#nextId;
    this.#nextId += 2;
    const stream = new SpdyStream(this, id, headers);
    this.#streams.set(id, stream);
    const block = await this.#deflate.run(encodeHeaders(headers));
    this.#control(frameType.synStream, 0, Buffer.concat([words(id, 0), Buffer.alloc(2), block]));
    return stream;
  }

  /** Tells the peer that no more streams are taken and ends the socket once what was written is out. */
  close(): void {
    this.#control(frameType.goAway, 0, words(0, 0));
    this.#socket.end();
  }

  sendData(id: number, data: Buffer, fin: boolean, done: (error?: Error | null) => void): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) return done(new Error('the connection is closed'));
    for (let at = 0; at < data.length || (at === 0 && fin); at += maxDataBytes) {
      const part = data.subarray(at, at + maxDataBytes);
      const last = at + maxDataBytes >= data.length;
      this.#socket.write(words(id, ((last && fin ? flagFin : 0) << 24) | part.length));
      if (part.length > 0) this.#socket.write(part);
    }
    if (!this.#socket.writableNeedDrain) return done();
    const settle = (): void => {
      this.#socket.off('drain', settle);
      this.#socket.off('close', settle);
      done(this.#socket.destroyed ? new Error('the connection is closed') : null);
    };
    this.#socket.on('drain', settle);
    this.#socket.on('close', settle);
  }

  reset(id: number): void {
    this.#control(frameType.reset, 0, words(id, statusCancel));
  }

  resume(id: number): void {
    if (this.#full.delete(id) && this.#full.size === 0) this.#socket.resume();
  }

  forget(id: number): void {
    this.#streams.delete(id);
    this.resume(id);
  }

  #control(type: number, flags: number, payload: Buffer): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    this.#socket.write(Buffer.concat([words(0x80030000 | type, (flags << 24) | payload.length), payload]));
  }

  #take(bytes: number): Buffer {
    const all = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
    const taken = all.subarray(0, bytes);
    const rest = all.subarray(bytes);
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#buffered -= bytes;
    return taken;
  }

  #peekLength(): number | undefined {
    if (this.#buffered < headerBytes) return undefined;
    if (this.#chunks[0]!.length < headerBytes) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0]!.readUInt32BE(4) & 0xffffff;
  }

  /** Frames are handled one after the other; only header blocks make it wait (for zlib). */
  async #parse(): Promise<void> {
    if (this.#parsing) return;
    this.#parsing = true;
    try {
      for (let length = this.#peekLength(); length !== undefined && this.#buffered >= headerBytes + length; length = this.#peekLength()) {
        const frame = this.#take(headerBytes + length);
        const payload = frame.subarray(headerBytes);
        if ((frame[0]! & 0x80) === 0) this.#onData(frame.readUInt32BE(0), frame[4]!, payload);
        else await this.#onControl(frame.readUInt16BE(2), frame[4]!, payload);
      }
    } catch {
      // A frame that is not SPDY: there is no way to find the next one.
      this.#socket.destroy();
    } finally {
      this.#parsing = false;
    }
  }

  #onData(id: number, flags: number, payload: Buffer): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    if (payload.length > 0 && !stream.push(Buffer.from(payload))) {
      this.#full.add(id);
      this.#socket.pause();
    }
    if ((flags & flagFin) !== 0) stream.push(null);
  }

  async #onControl(type: number, flags: number, payload: Buffer): Promise<void> {
    switch (type) {
      case frameType.synStream:
        return this.#onSynStream(payload.readUInt32BE(0), flags, payload.subarray(10));
      case frameType.synReply:
      case frameType.headers:
        // Its block belongs to the compression context even though nothing in it is of interest.
        await this.#inflate.run(payload.subarray(4));
        return;
      case frameType.reset:
        this.#streams.get(payload.readUInt32BE(0))?.destroy();
        return;
      case frameType.ping:
        // An answer keeps its sender's parity: only the peer's own pings are answered.
        if ((payload.readUInt32BE(0) & 1) === (this.#server ? 1 : 0)) this.#control(frameType.ping, 0, payload);
        return;
      case frameType.goAway:
        return;
    }
  }

  async #onSynStream(id: number, flags: number, block: Buffer): Promise<void> {
    const stream = new SpdyStream(this, id, decodeHeaders(await this.#inflate.run(block)));
    this.#streams.set(id, stream);
    if ((flags & flagFin) !== 0) stream.push(null);
    const reply = await this.#deflate.run(encodeHeaders({}));
    this.#control(frameType.synReply, 0, Buffer.concat([words(id), reply]));
    this.emit('stream', stream);
  }
}
