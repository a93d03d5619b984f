import { randomUUID } from 'node:crypto';
import { watch, type FSWatcher } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';

export interface LeaseStoreOptions {
  root: string;
  /** A file that its owner has not touched for this long is expired; Dynamo's lease is 10 s. */
  ttlMs: number;
}

/**
 * Dynamo's file store (lib/runtime storage/kv/file.rs): a bucket is a folder, a key is a URL-safe file name, a value is
 * JSON. Written beside and renamed, so a reader never sees half a value. The owner touches its files; anybody may delete
 * expired ones.
 */
export class LeaseStore {
  readonly #root: string;
  readonly #ttlMs: number;
  readonly #owned = new Set<string>();
  #keeper: NodeJS.Timeout | undefined;

  constructor(options: LeaseStoreOptions) {
    this.#root = path.resolve(options.root);
    this.#ttlMs = options.ttlMs;
  }

  async put(bucket: string, key: string, value: unknown): Promise<void> {
    const folder = path.join(this.#root, bucket);
    await mkdir(folder, { recursive: true });
    const file = path.join(folder, encodeURIComponent(key));
    const temporary = path.join(folder, `.${randomUUID()}.tmp`);
    await writeFile(temporary, JSON.stringify(value), { mode: 0o600 });
    await rename(temporary, file);
    this.#owned.add(file);
    this.#keeper ??= setInterval(() => void this.#touch(), Math.max(this.#ttlMs / 3, Math.min(1_000, this.#ttlMs / 3))).unref();
  }

  /** Deletes everything this store has put. */
  async release(): Promise<void> {
    clearInterval(this.#keeper);
    this.#keeper = undefined;
    const files = [...this.#owned];
    this.#owned.clear();
    await Promise.all(files.map((file) => rm(file, { force: true })));
  }

  /** Key → value of a bucket, without expired entries; those are deleted. Files that are not JSON are left out. */
  async list(bucket: string): Promise<Map<string, unknown>> {
    const folder = path.join(this.#root, bucket);
    const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    const entries = await Promise.all(
      names
        .filter((name) => !name.startsWith('.'))
        .map(async (name) => {
          const file = path.join(folder, name);
          try {
            const { mtimeMs } = await stat(file);
            if (Date.now() - mtimeMs > this.#ttlMs) {
              await rm(file, { force: true });
              return undefined;
            }
            return [decodeURIComponent(name), JSON.parse(await readFile(file, 'utf8'))] as const;
          } catch {
            // Deleted between the calls, or not ours.
            return undefined;
          }
        }),
    );
    return new Map(entries.filter((entry) => entry !== undefined));
  }

  /** Calls `onChange` soon after files of the bucket change, and at least every third of the lease time: expiry makes no file event. */
  async watch(bucket: string, onChange: () => void): Promise<Disposable> {
    const folder = path.join(this.#root, bucket);
    await mkdir(folder, { recursive: true });
    let watcher: FSWatcher | undefined;
    try {
      watcher = watch(folder, () => onChange());
      watcher.on('error', () => watcher?.close());
    } catch {
      // No inotify watch to be had: the timer below is enough, only slower.
    }
    const timer = setInterval(onChange, this.#ttlMs / 3).unref();
    return {
      [Symbol.dispose]: () => {
        watcher?.close();
        clearInterval(timer);
      },
    };
  }

  async #touch(): Promise<void> {
    const now = new Date();
    await Promise.all([...this.#owned].map((file) => utimes(file, now, now).catch(() => {})));
  }
}
