export type ModelFileErrorCode =
  | 'NO_MODEL' // the folder holds neither a GGUF nor a Hugging Face model
  | 'BAD_MAGIC' // the file is of another kind
  | 'TRUNCATED' // the file ends before what it announces
  | 'BAD_VALUE' // a number or structure that cannot be
  | 'MISSING_FIELD'
  | 'UNSUPPORTED_FIELD' // valid, but this engine does not compute it
  | 'UNSUPPORTED_TYPE'; // a tensor's element type

/** A model's files cannot be used. `field` names the entry at fault, `file` where it stands. */
export class ModelFileError extends Error {
  override readonly name = 'ModelFileError';
  readonly code: ModelFileErrorCode;
  readonly file: string;
  readonly field: string;
  constructor(code: ModelFileErrorCode, file: string, field: string, message: string, options?: ErrorOptions) {
    super(`${file}: ${field ? `${field} ` : ''}${message}`, options);
    this.code = code;
    this.file = file;
    this.field = field;
  }
}
