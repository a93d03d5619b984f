export type TextCodecErrorCode = 'NO_TOKENIZER' | 'BAD_TOKENIZER' | 'NO_CHAT_TEMPLATE' | 'BAD_CHAT_TEMPLATE';

/** A model folder's text files cannot be used, or its chat template refuses the messages. */
export class TextCodecError extends Error {
  override readonly name = 'TextCodecError';
  readonly code: TextCodecErrorCode;
  constructor(code: TextCodecErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
