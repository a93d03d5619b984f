import { connect, type Socket } from 'node:net';
import { encodeFrame, FrameDecoder, FrameError, frameTypes, type Frame } from './frame.ts';
import type { RequestCall } from './requestPlane.ts';
import {
  ConnectFailedError,
  ConnectionLostError,
  DeadlineExceededError,
  MessageTooLargeError,
  ProtocolError,
  RemoteError,
  RequestRefusedError,
  type RequestPlaneError,
  type RequestPlaneErrorDetails,
} from './requestPlaneError.ts';
import { ResponseStream } from './responseStream.ts';
import type { TcpOptions } from './tcpOptions.ts';

/** One multiplexed connection to a worker. Lives until it fails, `close()`, or until it was idle for a minute. */
export class TcpClientConnection {
  /** Resolves when connected, rejects with `ConnectFailedError`. */
  readonly ready: Promise<void>;
  readonly #socket: Socket;
  readonly #address: string;
  readonly #options: TcpOptions;
  readonly #streams = new Map<number, ResponseStream>();
  readonly #onClosed: () => void;
  #heartbeat: NodeJS.Timeout | undefined;
  #nextStream = 1;
  #reserved = 0;
  #lastByteAt = 0;
  #connected = false;
  #failure: RequestPlaneError | undefined;

  constructor(address: string, options: TcpOptions, onClosed: () => void) {
    this.#address = address;
    this.#options = options;
    this.#onClosed = onClosed;
    const colon = address.lastIndexOf(':');
    const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
    this.#socket = connect({ host, port: Number(address.slice(colon + 1)), noDelay: true, keepAlive: true });
    this.ready = this.#open();
    this.ready.catch(() => {});
  }

  /** Requests that use or are about to use this connection. */
  get load(): number {
    return this.#reserved;
  }

  /** Keeps the connection from being taken for idle; call the result when done. */
  reserve(): () => void {
    this.#reserved += 1;
    this.#lastByteAt = Date.now();
    return () => {
      this.#reserved -= 1;
      this.#lastByteAt = Date.now();
    };
  }

  async *call<T>(call: RequestCall): AsyncIterableIterator<T> {
    if (this.#failure !== undefined) throw this.#failure;
    const { requestId, endpoint, payload, signal, deadlineMs } = call;
    const details = this.#details(endpoint);
    const credit = this.#options.channelBuffer;
    const message = { endpoint, request_id: requestId, credit, payload, ...(deadlineMs === undefined ? {} : { deadline_ms: deadlineMs }) };
    const body = Buffer.from(JSON.stringify(message));
    if (body.length > this.#options.maxMessageBytes) throw new MessageTooLargeError(body.length, this.#options.maxMessageBytes, details);
    const id = this.#nextStream++;
    const stream = new ResponseStream({
      ...(signal === undefined ? {} : { signal }),
      ...(deadlineMs === undefined ? {} : { deadlineMs, deadlineError: () => new DeadlineExceededError('response', deadlineMs, details) }),
      acceptMs: this.#options.requestTimeoutMs,
      acceptError: () => new DeadlineExceededError('accept', this.#options.requestTimeoutMs, details),
      window: credit,
      grant: (count) => {
        const bytes = Buffer.alloc(4);
        bytes.writeUInt32BE(count);
        this.#socket.write(encodeFrame(frameTypes.credit, id, bytes));
      },
    });
    this.#streams.set(id, stream);
    this.#socket.write(encodeFrame(frameTypes.request, id, body));
    try {
      yield* stream.items<T>();
    } finally {
      this.#streams.delete(id);
      stream.dispose();
      if (!stream.ended && !this.#socket.destroyed) {
        const reason = signal?.aborted === true || stream.failed ? 'cancelled' : 'satisfied';
        this.#socket.write(encodeFrame(frameTypes.cancel, id, Buffer.from(JSON.stringify({ reason }))));
      }
    }
  }

  async close(): Promise<void> {
    if (this.#socket.destroyed) return;
    const closed = new Promise<void>((resolve) => this.#socket.once('close', () => resolve()));
    this.#fail(new ConnectionLostError('closed by this side', this.#details()));
    await closed;
  }

  #details(endpoint?: string, cause?: unknown): RequestPlaneErrorDetails {
    return { plane: 'tcp', address: this.#address, ...(endpoint === undefined ? {} : { endpoint }), ...(cause === undefined ? {} : { cause }) };
  }

  async #open(): Promise<void> {
    const socket = this.#socket;
    const decoder = new FrameDecoder(this.#options.maxMessageBytes);
    socket.on('data', (chunk: Buffer) => {
      this.#lastByteAt = Date.now();
      try {
        for (const frame of decoder.push(chunk)) this.#receive(frame);
      } catch (error) {
        const tooLarge = error instanceof FrameError && error.code === 'FRAME_TOO_LARGE';
        this.#fail(
          tooLarge
            ? new MessageTooLargeError(error.bytes, this.#options.maxMessageBytes, this.#details())
            : new ProtocolError((error as Error).message, this.#details(undefined, error)),
        );
      }
    });
    let cause: Error | undefined;
    socket.on('error', (error) => (cause = error));
    const connected = Promise.withResolvers<void>();
    const timer = setTimeout(
      () => this.#fail(this.#connectFailed(`no connection within ${this.#options.connectTimeoutMs} ms`)),
      this.#options.connectTimeoutMs,
    );
    socket.once('connect', () => {
      this.#connected = true;
      this.#lastByteAt = Date.now();
      this.#heartbeat = setInterval(() => this.#beat(), this.#options.heartbeatMs).unref();
      connected.resolve();
    });
    socket.once('close', () => {
      clearTimeout(timer);
      const why = cause?.message ?? 'the worker closed the connection';
      this.#fail(this.#connected ? new ConnectionLostError(`connection lost: ${why}`, this.#details(undefined, cause)) : this.#connectFailed(why, cause));
      connected.reject(this.#failure as RequestPlaneError);
    });
    await connected.promise;
    clearTimeout(timer);
  }

  #connectFailed(why: string, cause?: Error): ConnectFailedError {
    return new ConnectFailedError(`cannot connect: ${why}`, this.#details(undefined, cause));
  }

  #fail(error: RequestPlaneError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    clearInterval(this.#heartbeat);
    this.#onClosed();
    this.#socket.destroy();
    for (const stream of this.#streams.values()) stream.fail(error);
    this.#streams.clear();
  }

  #beat(): void {
    const silentMs = Date.now() - this.#lastByteAt;
    if (this.#reserved === 0) {
      if (silentMs > 60_000) this.#fail(new ConnectionLostError('closed after a minute without requests', this.#details()));
    } else if (silentMs > 3 * this.#options.heartbeatMs) {
      this.#fail(new ConnectionLostError(`connection lost: no byte for ${silentMs} ms`, this.#details()));
    } else this.#socket.write(encodeFrame(frameTypes.ping, 0));
  }

  #receive(frame: Frame): void {
    const stream = this.#streams.get(frame.stream);
    if (frame.type === frameTypes.accepted) stream?.accept();
    else if (frame.type === frameTypes.data) stream?.push(JSON.parse(frame.payload.toString('utf8')));
    else if (frame.type === frameTypes.end) stream?.end();
    else if (frame.type === frameTypes.error) {
      const { code, message, refused } = JSON.parse(frame.payload.toString('utf8')) as { code: string; message: string; refused: boolean };
      stream?.end(refused ? new RequestRefusedError(code, message, this.#details()) : new RemoteError(code, message, this.#details()));
    } else if (frame.type !== frameTypes.pong) throw new Error(`a worker may not send frames of type ${frame.type}`);
  }
}
