import path from 'node:path';
import { tryFileLock } from './fileLock.ts';
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

/** One supervisor per state folder. Returns the release. */
export function acquireStackLock(layout: StateLayout): () => void {
  const { holder, release } = tryFileLock(path.join(layout.run, 'supervisor.lock'));
  if (holder !== undefined) throw new StackRunningError(holder.pid, layout.home);
  return release;
}
