import sonicBoom from 'sonic-boom'; // CommonJS: the class is a property

export interface LogLinesOptions {
  /** Where lines go. Default 2, standard error. */
  fd?: number;
  /** Characters that may wait for a slow reader; lines beyond are dropped, and their number is told when there is room again. Default 4 Mi. */
  limit?: number;
}

export interface LogLines {
  write: (line: string) => void;
  /** For the end of the process: writes what still waits, and waits for it. */
  flushSync: () => void;
}

/** Characters of one turn that are enough to be written at once. */
const minLength = 8192;
/** A pipe that others have made non-blocking and that nobody reads is given up after so many attempts in a row, 100 ms each. */
const attempts = 50;

/**
 * Log lines that the event loop does not wait for. `process.stderr` on a pipe waits until the line is in the pipe, and a pipe is as fast as its reader;
 * here lines of one turn go out together, on a thread of libuv's pool. At the end of the process those of its last turn still wait, so `flushSync` has them.
 */
export function openLogLines({ fd = 2, limit = 4 * 1024 * 1024 }: LogLinesOptions = {}): LogLines {
  let dropped = 0;
  let failed = 0;
  let due = false;
  let flushing = false;
  const stream = new sonicBoom.SonicBoom({ fd, sync: false, minLength, maxLength: limit, retryEAGAIN: () => ++failed < attempts });
  const tellDropped = (): void => {
    if (dropped === 0) return;
    const lines = dropped;
    dropped = 0;
    stream.write(`(${lines} log lines dropped: they were not read fast enough)\n`);
  };
  // One at a time: each that waits for a slow reader would be two listeners more.
  const flush = (): void => {
    due = false;
    if (flushing) return void (due = true);
    flushing = true;
    stream.flush(() => {
      flushing = false;
      if (due) flush();
    });
  };
  stream.on('write', () => void (failed = 0));
  stream.on('drop', () => void (dropped += 1));
  stream.on('drain', tellDropped);
  stream.on('error', () => {
    // nobody reads any more
  });
  return {
    write: (line) => {
      stream.write(line);
      if (due) return;
      due = true;
      setImmediate(() => {
        if (due) flush();
      });
    },
    flushSync: () => {
      due = false;
      try {
        stream.flushSync();
        tellDropped();
        stream.flushSync();
      } catch {
        // nobody reads any more
      }
    },
  };
}
