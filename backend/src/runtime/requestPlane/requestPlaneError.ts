export interface RequestPlaneErrorDetails extends ErrorOptions {
  /** `tcp` or `nats`. */
  plane: string;
  /** The worker's address. */
  address: string;
  endpoint?: string;
}

/**
 * Something went wrong between a frontend and a worker. Every message starts with the plane and the address, so that a
 * broken request plane is never taken for a broken event plane or KV transfer.
 */
export class RequestPlaneError extends Error {
  readonly code: string;
  readonly plane: string;
  readonly address: string;
  readonly endpoint: string | undefined;

  constructor(code: string, message: string, details: RequestPlaneErrorDetails) {
    super(`request plane (${details.plane}) ${details.address}: ${message}`, details.cause === undefined ? {} : { cause: details.cause });
    this.name = new.target.name;
    this.code = code;
    this.plane = details.plane;
    this.address = details.address;
    this.endpoint = details.endpoint;
  }
}

/** No connection could be made: nothing was sent, trying another worker is safe. */
export class ConnectFailedError extends RequestPlaneError {
  constructor(message: string, details: RequestPlaneErrorDetails) {
    super('CONNECT_FAILED', message, details);
  }
}

/** The connection ended while a request was in flight: the worker may have done part of the work. */
export class ConnectionLostError extends RequestPlaneError {
  constructor(message: string, details: RequestPlaneErrorDetails) {
    super('CONNECTION_LOST', message, details);
  }
}

/** The worker is there and did not start the request. `reason` says why: UNKNOWN_ENDPOINT, DRAINING, OVERLOADED, BAD_REQUEST. */
export class RequestRefusedError extends RequestPlaneError {
  readonly reason: string;
  constructor(reason: string, message: string, details: RequestPlaneErrorDetails) {
    super('REFUSED', `refused (${reason}): ${message}`, details);
    this.reason = reason;
  }
}

/** The worker started the request and its handler failed. `remoteCode` is the handler's own error code. */
export class RemoteError extends RequestPlaneError {
  readonly remoteCode: string;
  constructor(remoteCode: string, message: string, details: RequestPlaneErrorDetails) {
    super('REMOTE_ERROR', `${remoteCode}: ${message}`, details);
    this.remoteCode = remoteCode;
  }
}

/** Not answered in time. `phase` is `accept` (the worker did not take the request) or `response` (the whole call). */
export class DeadlineExceededError extends RequestPlaneError {
  readonly phase: 'accept' | 'response';
  constructor(phase: 'accept' | 'response', milliseconds: number, details: RequestPlaneErrorDetails) {
    super('DEADLINE_EXCEEDED', `no ${phase === 'accept' ? 'acceptance' : 'complete response'} within ${milliseconds} ms`, details);
    this.phase = phase;
  }
}

/** One message is over DYN_TCP_MAX_MESSAGE_SIZE. */
export class MessageTooLargeError extends RequestPlaneError {
  constructor(bytes: number, limit: number, details: RequestPlaneErrorDetails) {
    super('MESSAGE_TOO_LARGE', `a message of ${bytes} bytes is over the limit of ${limit} bytes (DYN_TCP_MAX_MESSAGE_SIZE)`, details);
  }
}

/** The peer sent something that is not this protocol. */
export class ProtocolError extends RequestPlaneError {
  constructor(message: string, details: RequestPlaneErrorDetails) {
    super('PROTOCOL_ERROR', message, details);
  }
}
