import type { Socket } from 'node:net';
import { CreditGate } from './creditGate.ts';
import { encodeFrame, FrameDecoder, frameTypes, type Frame, type FrameType } from './frame.ts';
import { CallerSatisfiedError, HandlerError, type RequestHandler } from './requestPlane.ts';
import type { TcpOptions } from './tcpOptions.ts';

export interface TcpServerConnectionOptions {
  address: string;
  options: TcpOptions;
  handler: (endpoint: string) => RequestHandler | undefined;
  draining: () => boolean;
  onStreamEnd: () => void;
  /** The connection broke while requests were being answered over it. */
  onLost?: (lost: LostCaller) => void;
}

/** A caller whose connection broke before its answers were complete. */
export interface LostCaller {
  /** ECONNRESET: the caller closed with answers unread. EPIPE: it closed, and then something was to be sent to it. Undefined: closed in good order. */
  code: string | undefined;
  peer: string;
  peerPort: number | undefined;
  requestIds: string[];
}

/** How soon to try again whether a caller that sends no more still reads. */
const probeMs = 20;

interface RequestMessage {
  endpoint: string;
  request_id: string;
  deadline_ms?: number;
  credit: number;
  payload: unknown;
}

/** One client's connection to a worker: runs a handler per stream. Anything that is not the protocol ends the connection. */
export class TcpServerConnection {
  readonly #socket: Socket;
  readonly #context: TcpServerConnectionOptions;
  readonly #streams = new Map<number, { requestId: string; abort: AbortController; credit: CreditGate }>();
  #closing = false;

  constructor(socket: Socket, context: TcpServerConnectionOptions) {
    this.#socket = socket;
    this.#context = context;
    const decoder = new FrameDecoder(context.options.maxMessageBytes);
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const frame of decoder.push(chunk)) this.#receive(frame);
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    const peer = { peer: `${socket.remoteAddress ?? ''}:${socket.remotePort ?? ''}`, peerPort: socket.remotePort };
    let code: string | undefined;
    socket.on('error', (error: NodeJS.ErrnoException) => (code ??= error.code));
    socket.once('end', () => this.#probe());
    socket.once('close', () => {
      const requestIds = [...this.#streams.values()].map(({ requestId }) => requestId);
      if (requestIds.length > 0 && !this.#closing) context.onLost?.({ code, requestIds, ...peer });
      for (const { abort } of this.#streams.values()) abort.abort(new Error('the caller’s connection ended'));
    });
  }

  /** A caller that sends no more may still read its answers. One that is gone answers what is written with a reset, which the next write shows. */
  #probe(): void {
    if (this.#socket.destroyed) return;
    if (this.#streams.size === 0) return void this.#socket.end();
    this.#send(frameTypes.pong, 0);
    setTimeout(() => this.#probe(), probeMs);
  }

  get inFlight(): number {
    return this.#streams.size;
  }

  close(): void {
    for (const { abort } of this.#streams.values()) abort.abort(new Error('the server is closing'));
    this.#closing = true;
    this.#socket.destroy();
  }

  #receive(frame: Frame): void {
    if (frame.type === frameTypes.ping) this.#send(frameTypes.pong, 0);
    else if (frame.type === frameTypes.cancel) this.#streams.get(frame.stream)?.abort.abort(cancelReason(frame.payload));
    else if (frame.type === frameTypes.credit) this.#streams.get(frame.stream)?.credit.add(frame.payload.readUInt32BE(0));
    else if (frame.type === frameTypes.request) {
      if (this.#streams.has(frame.stream)) throw new Error(`stream ${frame.stream} is already open`);
      void this.#run(frame.stream, frame.payload.length, readRequest(frame.payload));
    } else throw new Error(`a client may not send frames of type ${frame.type}`);
  }

  async #run(stream: number, requestBytes: number, message: RequestMessage): Promise<void> {
    const handler = this.#context.handler(message.endpoint);
    if (this.#context.draining()) return this.#refuse(stream, 'DRAINING', 'this worker is shutting down and takes no new requests');
    if (handler === undefined) return this.#refuse(stream, 'UNKNOWN_ENDPOINT', `no endpoint "${message.endpoint}" here`);
    const abort = new AbortController();
    const bytes = { request: requestBytes, response: 0 };
    const credit = new CreditGate(message.credit, abort.signal);
    this.#streams.set(stream, { requestId: message.request_id, abort, credit });
    const deadline =
      message.deadline_ms === undefined
        ? undefined
        : setTimeout(() => abort.abort(new HandlerError('DEADLINE_EXCEEDED', `not done within ${message.deadline_ms} ms`)), message.deadline_ms);
    try {
      this.#send(frameTypes.accepted, stream);
      for await (const item of handler(message.payload, { requestId: message.request_id, signal: abort.signal, bytes })) {
        await credit.take();
        const payload = Buffer.from(JSON.stringify(item));
        const limit = this.#context.options.maxMessageBytes;
        if (payload.length > limit) throw new HandlerError('MESSAGE_TOO_LARGE', `a response of ${payload.length} bytes is over the limit of ${limit} bytes`);
        bytes.response += payload.length;
        this.#send(frameTypes.data, stream, payload);
      }
      if (abort.signal.aborted) throw abort.signal.reason;
      this.#send(frameTypes.end, stream);
    } catch (error) {
      const refused = error instanceof HandlerError && error.refused;
      const code = error instanceof HandlerError ? error.code : abort.signal.aborted ? 'CANCELLED' : 'HANDLER_FAILED';
      this.#sendError(stream, code, error instanceof Error ? error.message : String(error), refused);
    } finally {
      clearTimeout(deadline);
      this.#streams.delete(stream);
      this.#context.onStreamEnd();
    }
  }

  #refuse(stream: number, reason: string, message: string): void {
    this.#sendError(stream, reason, message, true);
  }

  #sendError(stream: number, code: string, message: string, refused: boolean): void {
    this.#send(frameTypes.error, stream, Buffer.from(JSON.stringify({ code, message, refused })));
  }

  #send(type: FrameType, stream: number, payload?: Uint8Array): void {
    if (!this.#socket.destroyed) this.#socket.write(encodeFrame(type, stream, payload));
  }
}

function cancelReason(payload: Buffer): Error {
  const { reason } = JSON.parse(payload.toString('utf8')) as { reason?: unknown };
  return reason === 'satisfied' ? new CallerSatisfiedError() : new Error('cancelled by the caller');
}

/** Throws on anything but a request message: the connection then ends. */
function readRequest(payload: Buffer): RequestMessage {
  const message = JSON.parse(payload.toString('utf8')) as Partial<RequestMessage> | null;
  const { endpoint, request_id, credit, deadline_ms } = message ?? {};
  const valid =
    typeof endpoint === 'string' &&
    typeof request_id === 'string' &&
    Number.isSafeInteger(credit) &&
    (deadline_ms === undefined || (typeof deadline_ms === 'number' && deadline_ms >= 0));
  if (!valid) throw new Error('not a request message');
  return message as RequestMessage;
}
