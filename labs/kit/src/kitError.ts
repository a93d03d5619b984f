/** Something a notebook asked for could not be done; `message` says what to do about it. */
export class KitError extends Error {
  /** Stable, e.g. `BACKEND_DOWN`, `COMMAND_FAILED`, `CHAT_FAILED`. */
  readonly code: string;

  constructor(code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'KitError';
    this.code = code;
  }
}
