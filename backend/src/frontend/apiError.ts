/** An answer that is not 2xx, in OpenAI's shape: `{error: {message, type, param, code}}`. */
export class ApiError extends Error {
  readonly status: number;
  readonly type: string;
  /** The field that is wrong, e.g. `messages[0].content`. */
  readonly param: string | null;
  readonly code: string | null;
  /** The plane that failed, where one did: not OpenAI's. */
  readonly plane: string | undefined;
  readonly headers: Record<string, string>;

  constructor(
    status: number,
    message: string,
    details: { type?: string; param?: string; code?: string; plane?: string; headers?: Record<string, string>; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? {} : { cause: details.cause });
    this.name = 'ApiError';
    this.status = status;
    this.type = details.type ?? (status >= 500 ? 'server_error' : 'invalid_request_error');
    this.param = details.param ?? null;
    this.code = details.code ?? null;
    this.plane = details.plane;
    this.headers = details.headers ?? {};
  }

  get body(): { error: { message: string; type: string; param: string | null; code: string | null; plane?: string } } {
    const { message, type, param, code, plane } = this;
    return { error: { message, type, param, code, ...(plane === undefined ? {} : { plane }) } };
  }
}

/** A field of the request is wrong: 400. */
export function invalidField(param: string, message: string, code?: string): ApiError {
  return new ApiError(400, `Validation: ${message}`, { param, ...(code === undefined ? {} : { code }) });
}
