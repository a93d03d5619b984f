/** A request that is answered with this status and message. */
export class HttpError extends Error {
  readonly code = 'KUBELET_HTTP';
  readonly status: number;
  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'HttpError';
    this.status = status;
  }
}
