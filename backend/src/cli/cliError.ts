/** Something the person can mend: one sentence that names what is wrong, and the command that mends it. */
export class CliError extends Error {
  readonly code = 'CLI';
  readonly mend: string | undefined;
  constructor(message: string, mend?: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CliError';
    this.mend = mend;
  }
}

/** What to print for any failure: a known cause gets its cure, an unknown one its message. */
export function explain(error: unknown): { message: string; mend?: string } {
  if (!(error instanceof Error)) return { message: String(error) };
  if (error instanceof CliError) return { message: error.message, ...(error.mend === undefined ? {} : { mend: error.mend }) };
  const { code } = error as NodeJS.ErrnoException & { path?: string };
  const mend = (error as { mend?: unknown }).mend;
  if (typeof mend === 'string') return { message: error.message, mend };
  if (code === 'PORT_BUSY') return { message: error.message, mend: 'ss -ltnp   # names the program; or choose another port' };
  if (code === 'ENOSPC' || code === 'EDQUOT' || /No space left on device|no space left on device/.test(error.message)) {
    return { message: `The disk is full: ${error.message.split('\n')[0]}`, mend: 'df -h   # free some space, then run the same command again' };
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS' || code === 'ENOTDIR' || code === 'ENAMETOOLONG')
    return { message: `A file of the state folder cannot be written: ${error.message}`, mend: 'Choose another folder: DYNAMO_LABS_HOME=/path npm start' };
  if (/address already in use/.test(error.message)) return { message: error.message, mend: 'npm start   # chooses other ports' };
  return { message: error.message };
}
