import { EventEmitter } from 'node:events';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  watch,
  writeFileSync,
  writeSync,
  type FSWatcher,
} from 'node:fs';
import path from 'node:path';

export type LogStream = 'stdout' | 'stderr';

/** Longest text of one log line; more is split into partial (`P`) lines, as a CRI runtime does. */
const maxLineBytes = 16 * 1024;
/** A log file over this size becomes `<run>.log.1`; one such file is kept. */
const rotateBytes = 10 * 1024 * 1024;
/** A raw output file whose content is all in the log is emptied beyond this size. */
const emptyRawBytes = 1024 * 1024;
const chunkBytes = 256 * 1024;

interface Position {
  log: number;
  stdout: number;
  stderr: number;
}

/**
 * The log of one container run, one line per `RFC3339Nano stream F|P text` (CRI format), in `<dir>/<run>.log`.
 * A detached program writes raw bytes to `<run>.stdout` and `<run>.stderr`; they are stamped here as they arrive. The
 * position reached is kept in `<run>.json`, so that a restarted agent goes on where the last one stopped, without
 * loss and without doubling. Emits `line` after lines were appended, `data` (stream, bytes) for attached clients, `closed`.
 */
export class RunLog extends EventEmitter<{ line: []; data: [LogStream, Buffer]; closed: [] }> {
  readonly file: string;
  readonly rawFiles: Record<LogStream, string>;
  closed = false;
  /** How much of the output the latest reader of the whole log has got. */
  readBytes = 0;
  readonly #positionFile: string;
  readonly #position: Position;
  #log: number;
  /** The unfinished line of each piped stream. */
  readonly #rest: Record<LogStream, Buffer> = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  #watcher: FSWatcher | undefined;
  #poll: NodeJS.Timeout | undefined;

  constructor(options: { dir: string; run: number }) {
    super();
    this.setMaxListeners(0);
    mkdirSync(options.dir, { recursive: true });
    const base = path.join(options.dir, String(options.run));
    this.file = `${base}.log`;
    this.rawFiles = { stdout: `${base}.stdout`, stderr: `${base}.stderr` };
    this.#positionFile = `${base}.json`;
    this.#position = readPosition(this.#positionFile);
    this.#log = openSync(this.file, 'a');
    // What an earlier agent appended without noting its position is read from the raw files again.
    if (fstatSync(this.#log).size > this.#position.log) ftruncateSync(this.#log, this.#position.log);
  }

  /** Follows the raw files of a detached program until `close`. */
  follow(): this {
    for (const file of Object.values(this.rawFiles)) if (!existsSync(file)) writeFileSync(file, '', { flag: 'a' });
    this.#watcher = watch(path.dirname(this.file), (_event, name) => {
      if (name === null || name.endsWith('.stdout') || name.endsWith('.stderr')) this.#catchUp(false);
    });
    this.#watcher.on('error', () => this.#watcher?.close());
    // A lost notification delays lines by at most this long.
    this.#poll = setInterval(() => this.#catchUp(false), 1_000);
    this.#poll.unref();
    this.#catchUp(false);
    return this;
  }

  /** Appends output of a program whose pipes the agent holds. */
  append(stream: LogStream, bytes: Buffer): void {
    if (this.closed) return;
    this.emit('data', stream, bytes);
    const { lines, used } = splitLines(Buffer.concat([this.#rest[stream], bytes]), false);
    this.#rest[stream] = Buffer.concat([this.#rest[stream], bytes]).subarray(used);
    this.#write(stream, lines);
  }

  /**
   * What the program wrote and nobody has read as a log (`readBytes`), in order and as it was written; nothing where the
   * log is over 256 KiB.
   */
  unread(): [LogStream, Buffer][] {
    if (this.#position.log > chunkBytes) return [];
    const pieces: [LogStream, Buffer][] = [];
    const log = readFileSync(this.file);
    let skip = this.readBytes;
    for (let at = 0; at < log.length;) {
      const end = log.indexOf(10, at);
      const [, stream, tag] = log.toString('latin1', at, at + 48).split(' ', 3) as [string, LogStream, string];
      const text = log.subarray(log.indexOf(` ${tag} `, at) + 3, tag === 'F' ? end + 1 : end);
      if (skip < text.length) pieces.push([stream, text.subarray(skip)]);
      skip = Math.max(0, skip - text.length);
      at = end + 1;
    }
    for (const stream of ['stdout', 'stderr'] as const) if (this.#rest[stream].length > 0) pieces.push([stream, this.#rest[stream]]);
    return pieces;
  }

  /** Takes in what is left and ends the log. */
  close(): void {
    if (this.closed) return;
    if (this.#poll !== undefined) this.#catchUp(true);
    for (const stream of ['stdout', 'stderr'] as const) {
      this.#write(stream, splitLines(this.#rest[stream], true).lines);
      this.#rest[stream] = Buffer.alloc(0);
    }
    this.closed = true;
    this.#watcher?.close();
    clearInterval(this.#poll);
    closeSync(this.#log);
    this.emit('closed');
  }

  #catchUp(final: boolean): void {
    if (this.closed) return;
    for (const stream of ['stdout', 'stderr'] as const) this.#readRaw(stream, final);
  }

  #readRaw(stream: LogStream, final: boolean): void {
    const file = this.rawFiles[stream];
    if (!existsSync(file)) return;
    const raw = openSync(file, 'r+');
    try {
      const buffer = Buffer.alloc(chunkBytes);
      for (;;) {
        const { size } = fstatSync(raw);
        if (this.#position[stream] > size) this.#position[stream] = 0;
        const read = readSync(raw, buffer, 0, chunkBytes, this.#position[stream]);
        const last = this.#position[stream] + read >= size;
        const { lines, used } = splitLines(buffer.subarray(0, read), final && last);
        if (used > 0) {
          this.#position[stream] += used;
          this.emit('data', stream, Buffer.from(buffer.subarray(0, used)));
          this.#write(stream, lines);
        }
        if (last || used === 0) break;
      }
      if (this.#position[stream] >= emptyRawBytes && fstatSync(raw).size === this.#position[stream]) {
        // The program appends (O_APPEND), so its next byte lands at the start.
        ftruncateSync(raw, 0);
        this.#position[stream] = 0;
        this.#savePosition();
      }
    } finally {
      closeSync(raw);
    }
  }

  #write(stream: LogStream, lines: { text: Buffer; partial: boolean }[]): void {
    if (lines.length === 0) return;
    const stamp = timestamp();
    const newline = Buffer.from('\n');
    const block = Buffer.concat(lines.flatMap(({ text, partial }) => [Buffer.from(`${stamp} ${stream} ${partial ? 'P' : 'F'} `), text, newline]));
    writeSync(this.#log, block);
    this.#position.log += block.length;
    if (this.#position.log > rotateBytes) this.#rotate();
    this.#savePosition();
    this.emit('line');
  }

  #rotate(): void {
    closeSync(this.#log);
    renameSync(this.file, `${this.file}.1`);
    this.#log = openSync(this.file, 'a');
    this.#position.log = 0;
  }

  #savePosition(): void {
    writeFileSync(this.#positionFile, JSON.stringify(this.#position));
  }
}

function readPosition(file: string): Position {
  try {
    return { log: 0, stdout: 0, stderr: 0, ...(JSON.parse(readFileSync(file, 'utf8')) as Partial<Position>) };
  } catch {
    // A new run, or an agent that died while it wrote the file: the raw files tell everything.
    return { log: 0, stdout: 0, stderr: 0 };
  }
}

/** Whole lines of `bytes` and how many bytes they use; with `final` the unfinished last line counts too. */
export function splitLines(bytes: Buffer, final: boolean): { lines: { text: Buffer; partial: boolean }[]; used: number } {
  const lines: { text: Buffer; partial: boolean }[] = [];
  let used = 0;
  while (used < bytes.length) {
    const end = bytes.indexOf(10, used);
    const stop = end === -1 ? bytes.length : end;
    if (stop - used > maxLineBytes) {
      lines.push({ text: Buffer.from(bytes.subarray(used, used + maxLineBytes)), partial: true });
      used += maxLineBytes;
    } else if (end !== -1) {
      lines.push({ text: Buffer.from(bytes.subarray(used, end)), partial: false });
      used = end + 1;
    } else {
      if (!final) break;
      lines.push({ text: Buffer.from(bytes.subarray(used)), partial: true });
      used = bytes.length;
    }
  }
  return { lines, used };
}

/** RFC 3339 with nanoseconds, UTC; the clock gives microseconds. */
function timestamp(): string {
  const now = performance.timeOrigin + performance.now();
  const micros = Math.floor((now % 1000) * 1000)
    .toString()
    .padStart(6, '0');
  return `${new Date(now).toISOString().slice(0, 19)}.${micros}000Z`;
}
