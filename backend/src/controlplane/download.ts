import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** To the first byte: a machine that cannot reach a release site must find out soon. */
const connectMs = 6_000;
/** Between two pieces of a body. */
const stallMs = 20_000;

/** A download that did not happen: unreachable, refused, cut off, or not the file it should be. */
export class DownloadError extends Error {
  readonly code = 'DOWNLOAD';
  readonly url: string;
  constructor(url: string, what: string, options?: ErrorOptions) {
    super(`${url}: ${what}`, options);
    this.name = 'DownloadError';
    this.url = url;
  }
}

export interface DownloadOptions {
  signal: AbortSignal;
  /** Told now and then how much has arrived. */
  onBytes?: (received: number, total: number | undefined) => void;
}

/** A small text file, e.g. a checksum. */
export async function downloadText(url: string, options: DownloadOptions): Promise<string> {
  const { response, deadline } = await open(url, options);
  try {
    return await response.text();
  } catch (cause) {
    throw new DownloadError(url, `the connection was cut (${reason(cause)})`, { cause });
  } finally {
    deadline.clear();
  }
}

/** Saves a file whose SHA-256 is `sha256` (hex). Leaves nothing behind when it fails. */
export async function downloadFile(url: string, file: string, sha256: string, options: DownloadOptions): Promise<void> {
  const { response, deadline } = await open(url, options);
  const length = Number(response.headers.get('content-length') ?? Number.NaN);
  const total = Number.isFinite(length) ? length : undefined;
  const hash = createHash('sha256');
  let received = 0;
  let told = 0;
  async function* measured(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      deadline.extend();
      hash.update(chunk);
      received += chunk.length;
      if (received - told > 1_000_000) options.onBytes?.((told = received), total);
      yield chunk;
    }
  }
  try {
    try {
      await pipeline(Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0]), measured, createWriteStream(file, { mode: 0o755 }));
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOSPC') throw cause;
      options.signal.throwIfAborted();
      throw new DownloadError(url, `the connection was cut after ${received} of ${total ?? 'an unknown number of'} bytes (${reason(cause)})`, { cause });
    }
    const actual = hash.digest('hex');
    if (actual !== sha256) throw new DownloadError(url, `the file is not what its checksum says (SHA-256 ${actual}, expected ${sha256})`);
  } catch (error) {
    await rm(file, { force: true });
    throw error;
  } finally {
    deadline.clear();
  }
}

async function open(url: string, options: DownloadOptions): Promise<{ response: Response; deadline: Deadline }> {
  const deadline = new Deadline(connectMs);
  try {
    const response = await fetch(url, { signal: AbortSignal.any([options.signal, deadline.signal]), redirect: 'follow' });
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      throw new DownloadError(url, `the server answers HTTP ${response.status}`);
    }
    deadline.extend();
    return { response, deadline };
  } catch (cause) {
    deadline.clear();
    options.signal.throwIfAborted();
    if (cause instanceof DownloadError) throw cause;
    throw new DownloadError(url, `could not be reached (${reason(cause)})`, { cause });
  }
}

/** Aborts when nothing has happened for a while. */
class Deadline {
  readonly #abort = new AbortController();
  #timer: NodeJS.Timeout;
  constructor(ms: number) {
    this.#timer = this.#arm(ms);
  }
  get signal(): AbortSignal {
    return this.#abort.signal;
  }
  extend(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#arm(stallMs);
  }
  clear(): void {
    clearTimeout(this.#timer);
  }
  #arm(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.#abort.abort(new Error(`nothing arrived for ${ms / 1000} s`)), ms);
  }
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause as (Error & { code?: string }) | undefined;
  return cause?.code ?? cause?.message ?? error.message;
}
