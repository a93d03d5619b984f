export type EngineErrorCode = 'INVALID_REQUEST' | 'PROMPT_TOO_LONG' | 'ENGINE_CLOSED' | 'STEP_FAILED' | 'INVALID_OPTION' | 'KV_TRANSFER_FAILED' | 'NO_ROOM';

/** A request or a setting the engine refuses, or a step that failed. Inside `generate` it becomes the stream's last item. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly code: EngineErrorCode;
  constructor(code: EngineErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
