/**
 * The TCP request plane's frames: `length u32 BE (of what follows) | type u8 | stream u32 BE | payload`. Payloads are
 * JSON, except `credit` (u32 BE). Stream 0 belongs to the connection itself.
 */
export const frameTypes = {
  /** client → server: {endpoint, request_id, deadline_ms?, credit, payload} */
  request: 1,
  /** server → client: the handler started. */
  accepted: 2,
  /** server → client: one response message. */
  data: 3,
  /** server → client: the stream is complete. */
  end: 4,
  /** server → client: {code, message, refused}; ends the stream. */
  error: 5,
  /** client → server: {reason: satisfied | cancelled}; stop working on this stream. */
  cancel: 6,
  /** client → server: that many more data frames may be sent. */
  credit: 7,
  ping: 8,
  pong: 9,
} as const;

export type FrameType = (typeof frameTypes)[keyof typeof frameTypes];

export interface Frame {
  type: FrameType;
  stream: number;
  payload: Buffer;
}

const headerBytes = 9;
const knownTypes: ReadonlySet<number> = new Set(Object.values(frameTypes));

export function encodeFrame(type: FrameType, stream: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const frame = Buffer.allocUnsafe(headerBytes + payload.length);
  frame.writeUInt32BE(5 + payload.length, 0);
  frame.writeUInt8(type, 4);
  frame.writeUInt32BE(stream, 5);
  frame.set(payload, headerBytes);
  return frame;
}

/** Bytes that cannot be frames: an unknown type, a length below the header's, or one over the limit. */
export class FrameError extends Error {
  readonly code: 'BAD_FRAME' | 'FRAME_TOO_LARGE';
  readonly bytes: number;
  constructor(code: 'BAD_FRAME' | 'FRAME_TOO_LARGE', message: string, bytes: number) {
    super(message);
    this.name = 'FrameError';
    this.code = code;
    this.bytes = bytes;
  }
}

/** Cuts a byte stream into frames. The length is checked before anything is kept for it. */
export class FrameDecoder {
  readonly #maxPayload: number;
  #chunks: Buffer[] = [];
  #buffered = 0;

  constructor(maxPayload: number) {
    this.#maxPayload = maxPayload;
  }

  /** The frames that `chunk` completes. Throws `FrameError`; the decoder is unusable afterwards. */
  push(chunk: Buffer): Frame[] {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    const frames: Frame[] = [];
    while (this.#buffered >= 4) {
      const head = this.#peek(Math.min(this.#buffered, headerBytes));
      const length = head.readUInt32BE(0);
      if (length < 5) throw new FrameError('BAD_FRAME', `a frame of ${length} bytes is shorter than its header`, length);
      if (length - 5 > this.#maxPayload) throw new FrameError('FRAME_TOO_LARGE', `a frame of ${length - 5} bytes`, length - 5);
      if (head.length > 4 && !knownTypes.has(head.readUInt8(4))) throw new FrameError('BAD_FRAME', `unknown frame type ${head.readUInt8(4)}`, length);
      if (this.#buffered < 4 + length) break;
      const whole = this.#take(4 + length);
      frames.push({ type: whole.readUInt8(4) as FrameType, stream: whole.readUInt32BE(5), payload: whole.subarray(headerBytes) });
    }
    return frames;
  }

  #peek(bytes: number): Buffer {
    const first = this.#chunks[0] as Buffer;
    if (first.length < bytes) this.#chunks = [Buffer.concat(this.#chunks)];
    return (this.#chunks[0] as Buffer).subarray(0, bytes);
  }

  #take(bytes: number): Buffer {
    if ((this.#chunks[0] as Buffer).length < bytes) this.#chunks = [Buffer.concat(this.#chunks)];
    const first = this.#chunks[0] as Buffer;
    const taken = first.subarray(0, bytes);
    if (first.length === bytes) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(bytes);
    this.#buffered -= bytes;
    return taken;
  }
}
