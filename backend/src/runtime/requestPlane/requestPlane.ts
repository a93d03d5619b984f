/** How frontends reach workers: a call is one request message and a stream of response messages. */
export interface RequestPlaneClient extends AsyncDisposable {
  readonly plane: string;
  /**
   * Starts on the first `next()`. Ending the iteration early says that the caller has all it wants, aborting `signal` that it wants nothing any more:
   * both end the work on the worker, which can tell them apart.
   * Fails with one of the `RequestPlaneError` classes, or with `signal.reason`.
   */
  call<T = unknown>(call: RequestCall): AsyncIterableIterator<T>;
  close(): Promise<void>;
}

export interface RequestCall {
  /** As found in discovery, e.g. `10.244.1.7:38213`. */
  address: string;
  /** `generate`, `kv_events`, … */
  endpoint: string;
  requestId: string;
  /** JSON-safe. */
  payload: unknown;
  signal?: AbortSignal;
  /** Milliseconds for the whole call; none by default. */
  deadlineMs?: number;
}

export interface RequestContext {
  requestId: string;
  /** Payload bytes so far; the server counts on while the handler yields. */
  readonly bytes: { request: number; response: number };
  /** Aborted when the caller cancels, its connection ends, or the deadline passes; with a `CallerSatisfiedError` when it has all it wants. */
  signal: AbortSignal;
}

/** Yields JSON-safe response messages. Throw `HandlerError` for an error with a code of its own. */
export type RequestHandler = (payload: unknown, context: RequestContext) => AsyncIterable<unknown>;

export interface RequestPlaneServer extends AsyncDisposable {
  readonly plane: string;
  /** What to put into discovery. */
  readonly address: string;
  readonly inFlight: number;
  /** Requests for other endpoints are refused with UNKNOWN_ENDPOINT. The returned object withdraws the endpoint. */
  serve(endpoint: string, handler: RequestHandler): Disposable;
  /** Refuses new requests with DRAINING and resolves when none is in flight; false when `deadlineMs` passed first. */
  drain(deadlineMs: number): Promise<boolean>;
  /** Cancels what is in flight and closes every connection. */
  close(): Promise<void>;
}

/** Why a handler's signal is aborted when the caller read as much as it wants, e.g. up to a stop string: nothing went wrong. */
export class CallerSatisfiedError extends Error {
  readonly code = 'CALLER_SATISFIED';
  constructor() {
    super('the caller has all it wants');
    this.name = 'CallerSatisfiedError';
  }
}

/** Thrown by a handler: `code` reaches the caller as `RemoteError.remoteCode`, or refuses the request when `refused`. */
export class HandlerError extends Error {
  readonly code: string;
  readonly refused: boolean;
  constructor(code: string, message: string, options: ErrorOptions & { refused?: boolean } = {}) {
    super(message, options);
    this.name = 'HandlerError';
    this.code = code;
    this.refused = options.refused ?? false;
  }
}
