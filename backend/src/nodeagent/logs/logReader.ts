import { open, type FileHandle } from 'node:fs/promises';
import type { LogStream, RunLog } from './runLog.ts';

/** core/v1 PodLogOptions as a kubelet gets them. */
export interface LogOptions {
  tailLines?: number;
  /** Unix ms: only lines written at or after it. */
  since?: number;
  limitBytes?: number;
  timestamps?: boolean;
  /** Limits the output to one stream. */
  stream?: LogStream;
}

export interface LogLine {
  /** RFC 3339 text as it is in the file. */
  time: string;
  stream: string;
  /** False for a piece of a longer line. */
  whole: boolean;
  text: Buffer;
}

/** Parses `RFC3339Nano stream F|P text`; undefined for anything else. */
export function parseLogLine(line: Buffer): LogLine | undefined {
  const first = line.indexOf(32);
  const second = line.indexOf(32, first + 1);
  const third = line.indexOf(32, second + 1);
  if (first < 0 || second < 0 || third < 0) return undefined;
  return {
    time: line.toString('latin1', 0, first),
    stream: line.toString('latin1', first + 1, second),
    whole: line[second + 1] === 70,
    text: line.subarray(third + 1),
  };
}

function* linesOf(bytes: Buffer): Generator<LogLine> {
  let start = 0;
  for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, start)) {
    const line = parseLogLine(bytes.subarray(start, end));
    if (line !== undefined) yield line;
    start = end + 1;
  }
}

/**
 * The output of a run as `kubectl logs` shows it. `file` is the CRI log; with `live` the reading goes on until that run ends
 * or `signal` aborts. Cutting by `limitBytes` is exact.
 */
export async function* readLog(file: string, options: LogOptions, live?: RunLog, signal?: AbortSignal): AsyncGenerator<Buffer> {
  let left = options.limitBytes ?? Infinity;
  const { older, current } = await openLog(file);
  try {
    const rotated = (await older?.readFile()) ?? Buffer.alloc(0);
    const written = (await current?.readFile()) ?? Buffer.alloc(0);
    let lines = [...linesOf(rotated), ...linesOf(written)].filter((line) => wanted(line, options));
    if (options.tailLines !== undefined) lines = lines.slice(Math.max(0, lines.length - options.tailLines));
    for (const line of lines) {
      const bytes = show(line, options).subarray(0, left);
      left -= bytes.length;
      if (bytes.length > 0) yield bytes;
      if (left <= 0) return;
    }
    if (live === undefined || current === undefined) return;
    for await (const bytes of followFile(live, file, current, written.lastIndexOf(10) + 1, signal)) {
      for (const line of linesOf(bytes)) {
        if (!wanted(line, options)) continue;
        const shown = show(line, options).subarray(0, left);
        left -= shown.length;
        yield shown;
        if (left <= 0) return;
      }
    }
  } finally {
    await older?.close();
    await current?.close();
  }
}

/** The log and its rotated part, at one moment: a rotation between the two is noticed and the look repeated. */
async function openLog(file: string): Promise<{ older: FileHandle | undefined; current: FileHandle | undefined }> {
  for (;;) {
    const current = await open(file, 'r').catch(() => undefined);
    const older = await open(`${file}.1`, 'r').catch(() => undefined);
    if (current === undefined || older === undefined || (await current.stat()).ino !== (await older.stat()).ino) return { older, current };
    await Promise.all([current.close(), older.close()]);
  }
}

function wanted(line: LogLine, options: LogOptions): boolean {
  if (options.stream !== undefined && line.stream !== options.stream) return false;
  return options.since === undefined || Date.parse(line.time) >= options.since;
}

function show(line: LogLine, options: LogOptions): Buffer {
  return Buffer.concat([Buffer.from(options.timestamps === true ? `${line.time} ` : ''), line.text, Buffer.from(line.whole ? '\n' : '')]);
}

function nextChange(live: RunLog, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      live.off('line', done);
      live.off('closed', done);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    live.on('line', done);
    live.on('closed', done);
    signal?.addEventListener('abort', done);
  });
}

/** Whole lines that are appended to the log from `position` of `first` on, across rotations, until the run ends. Leaves `first` open. */
async function* followFile(live: RunLog, file: string, first: FileHandle, position: number, signal?: AbortSignal): AsyncGenerator<Buffer> {
  let handle = first;
  let change: Promise<unknown> | undefined;
  try {
    for (;;) {
      if (signal?.aborted === true) return;
      const ended = live.closed;
      // Listening starts before the look at the file, so that no line falls between the two.
      if (!ended) change ??= nextChange(live, signal).then(() => (change = undefined));
      // Where the name has gone on to another file, this one is complete: its size is looked at after that.
      const next = await open(file, 'r');
      const { size, ino } = await handle.stat();
      const rotated = (await next.stat()).ino !== ino;
      if (size > position || !rotated) await next.close();
      if (size > position) {
        const buffer = Buffer.alloc(size - position);
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, position);
        position += bytesRead;
        yield buffer.subarray(0, bytesRead);
      } else if (rotated) {
        if (handle !== first) await handle.close();
        handle = next;
        position = 0;
      } else {
        if (ended) return;
        await change;
      }
    }
  } finally {
    if (handle !== first) await handle.close();
  }
}
