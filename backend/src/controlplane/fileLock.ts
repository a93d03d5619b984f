import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ProcessIdentity, identityOf, isAlive } from './processIdentity.ts';

export interface FileLock {
  /** Set when another living process holds the lock. */
  holder?: ProcessIdentity;
  release: () => void;
}

/**
 * Tries to take a lock between processes: a hard link, made whole or not at all, that holds its owner's pid and start time.
 * A dead owner's lock is taken over.
 */
export function tryFileLock(lock: string): FileLock {
  const mine = `${lock}.${process.pid}`;
  const owner = identityOf(process.pid);
  if (owner === undefined) throw new Error('this process has no start time');
  writeFileSync(mine, JSON.stringify(owner), { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 10; attempt++) {
      try {
        linkSync(mine, lock);
        return { release: () => rmSync(lock, { force: true }) };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const holder = readLock(lock);
      if (holder !== undefined && isAlive(holder)) return { holder, release: () => {} };
      // Two processes may see the same dead owner: only one can move its lock away, the other finds it gone and tries again.
      const stale = `${mine}.stale`;
      try {
        renameSync(lock, stale);
        const moved = readLock(stale);
        if (moved !== undefined && isAlive(moved)) linkSync(stale, lock);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      } finally {
        rmSync(stale, { force: true });
      }
    }
    throw new Error(`cannot take the lock ${lock}`);
  } finally {
    rmSync(mine, { force: true });
  }
}

/** Waits until the lock is ours; `onWait` is told once for whom. Rejects when the signal is aborted. */
export async function waitFileLock(lock: string, options: { signal: AbortSignal; onWait: (holder: ProcessIdentity) => void }): Promise<() => void> {
  let told = false;
  for (;;) {
    options.signal.throwIfAborted();
    const attempt = tryFileLock(lock);
    if (attempt.holder === undefined) return attempt.release;
    if (!told) options.onWait(attempt.holder);
    told = true;
    await sleep(250, undefined, { signal: options.signal });
  }
}

function readLock(file: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ProcessIdentity;
  } catch {
    return undefined;
  }
}
