import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** A program ended, or did not become ready in time. The message ends with the last lines of its log. */
export class ProcessStartError extends Error {
  readonly code = 'PROCESS_START';
  readonly processName: string;
  constructor(processName: string, what: string, logFile: string, options?: ErrorOptions) {
    const tail = logTail(logFile);
    super(`${processName} ${what}.${tail === '' ? '' : `\nLast lines of ${logFile}:\n${tail}`}`, options);
    this.name = 'ProcessStartError';
    this.processName = processName;
  }
}

/** The last `lines` lines of a log, long lines cut; empty when there is none. */
export function logTail(file: string, lines = 12): string {
  let handle: number;
  try {
    handle = openSync(file, 'r');
  } catch {
    return '';
  }
  try {
    const { size } = fstatSync(handle);
    const buffer = Buffer.alloc(Math.min(size, 16_384));
    readSync(handle, buffer, 0, buffer.length, size - buffer.length);
    const all = buffer.toString('utf8').trimEnd().split('\n');
    return all
      .slice(-lines)
      .map((line) => `  ${line.slice(0, 400)}`)
      .join('\n')
      .trimEnd();
  } finally {
    closeSync(handle);
  }
}
