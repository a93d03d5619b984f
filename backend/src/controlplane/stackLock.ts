import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type ProcessIdentity, identityOf, isAlive } from './processIdentity.ts';
import type { StateLayout } from './stateLayout.ts';

/** A stack already runs (or starts, or stops) on this state folder. */
export class StackRunningError extends Error {
  readonly code = 'STACK_RUNNING';
  readonly pid: number;
  constructor(pid: number, home: string) {
    super(`Dynamo Labs already runs on ${home} (process ${pid}).`);
    this.name = 'StackRunningError';
    this.pid = pid;
  }
}

/**
 * One supervisor per state folder: the lock is a hard link, made whole or not at all, that holds its owner's pid and start
 * time. A dead owner's lock is taken over. Returns the release.
 */
export function acquireStackLock(layout: StateLayout): () => void {
  const lock = path.join(layout.run, 'supervisor.lock');
  const mine = `${lock}.${process.pid}`;
  const owner = identityOf(process.pid);
  if (owner === undefined) throw new Error('this process has no start time');
  writeFileSync(mine, JSON.stringify(owner), { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 10; attempt++) {
      try {
        linkSync(mine, lock);
        return () => rmSync(lock, { force: true });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const holder = readLock(lock);
      if (holder !== undefined && isAlive(holder)) throw new StackRunningError(holder.pid, layout.home);
      // Two starts may see the same dead owner: only one can move its lock away, the other finds it gone and tries again.
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

function readLock(file: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ProcessIdentity;
  } catch {
    return undefined;
  }
}
