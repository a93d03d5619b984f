/** Something the person can mend: one sentence that names what is wrong, and the command (or address) that mends it. */
export class SetupError extends Error {
  code = 'SETUP';

  /** @param {string} message @param {string} [mend] @param {ErrorOptions} [options] */
  constructor(message, mend, options) {
    super(message, options);
    this.name = 'SetupError';
    this.mend = mend;
  }
}
