import { closeSync, fstatSync, openSync, readSync, statfsSync } from 'node:fs';
import path from 'node:path';

/** A program ended, or did not become ready in time. The message ends with the last lines of its log. */
export class ProcessStartError extends Error {
  readonly code = 'PROCESS_START';
  readonly processName: string;
  constructor(processName: string, what: string, logFile: string, options?: ErrorOptions) {
    const tail = logTail(logFile);
    const cause = knownCause(logFile);
    super(
      `${processName} ${what}${cause === undefined || tail.includes(cause) ? '' : `: ${cause}`}.${tail === '' ? '' : `\nLast lines of ${logFile}:\n${tail}`}`,
      options,
    );
    this.name = 'ProcessStartError';
    this.processName = processName;
  }
}

/** The last mention of something that the machine refused: a Go program's panic buries it under its stacks. */
function knownCause(file: string): string | undefined {
  // A full disk may not even hold the line that says so.
  if (freeBytes(path.dirname(file)) < 1024 * 1024) return 'no space left on device';
  return end(file)
    .match(/no space left on device|address already in use|too many open files|cannot allocate memory|read-only file system/g)
    ?.at(-1);
}

/** The last `lines` lines of a log, long lines cut; empty when there is none. */
export function logTail(file: string, lines = 12): string {
  return end(file)
    .trimEnd()
    .split('\n')
    .slice(-lines)
    .map((line) => `  ${line.slice(0, 400)}`)
    .join('\n')
    .trimEnd();
}

function freeBytes(dir: string): number {
  try {
    const { bavail, bsize } = statfsSync(dir);
    return bavail * bsize;
  } catch {
    return Infinity;
  }
}

/** The last 16 KiB of a file; empty when there is none. */
function end(file: string): string {
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
    return buffer.toString('utf8');
  } finally {
    closeSync(handle);
  }
}
