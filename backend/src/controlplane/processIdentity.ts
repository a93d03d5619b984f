import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process for ever: pids are used again, a pid with its start time is not. */
export interface ProcessIdentity {
  pid: number;
  /** Opaque: clock ticks since boot on Linux (field 22 of /proc/pid/stat), seconds since the epoch elsewhere. */
  startTime: number;
}

/** `undefined` when no such process runs; a zombie counts as gone. */
export function startTimeOf(pid: number): number | undefined {
  if (process.platform === 'linux') {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return fields[0] === 'Z' || fields[0] === 'X' ? undefined : Number(fields[19]);
    } catch {
      return undefined;
    }
  }
  try {
    const started = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } });
    return Math.floor(Date.parse(started.trim()) / 1000);
  } catch {
    return undefined;
  }
}

export function identityOf(pid: number): ProcessIdentity | undefined {
  const startTime = startTimeOf(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

export function isAlive(identity: ProcessIdentity): boolean {
  return startTimeOf(identity.pid) === identity.startTime;
}

/** Polls until the process is gone or `timeoutMs` has passed; says which. */
export async function waitGone(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (isAlive(identity)) {
    if (Date.now() >= deadline) return false;
    await sleep(20);
  }
  return true;
}

/**
 * Ends a process that is not our child: SIGTERM, `graceMs`, then SIGKILL to it and to its process group if it leads one.
 * Does nothing when the pid belongs to another process by now.
 */
export async function endProcess(identity: ProcessIdentity, graceMs: number): Promise<void> {
  if (!isAlive(identity)) return;
  signal(identity.pid, 'SIGTERM');
  if (await waitGone(identity, graceMs)) return;
  signal(-identity.pid, 'SIGKILL');
  signal(identity.pid, 'SIGKILL');
  if (!(await waitGone(identity, 5_000))) throw new Error(`process ${identity.pid} does not end: SIGKILL had no effect for 5 s`);
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
