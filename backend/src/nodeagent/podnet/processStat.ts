import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessStat {
  pid: number;
  ppid: number;
  state: string;
  /** Field 22: start time in clock ticks after boot. With the pid it names the process for ever. */
  startTime: number;
}

/** A process as /proc/pid/stat tells; `undefined` when there is none, or only its zombie. */
export function processStat(pid: number): ProcessStat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The second field is the name in parentheses, which may hold anything.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const state = fields[0] ?? 'X';
  if (state === 'Z' || state === 'X') return undefined;
  return { pid, ppid: Number(fields[1]), state, startTime: Number(fields[19]) };
}

/** True while the very process lives that had this pid and start time. */
export function isAlive(identity: { pid: number; startTime: number }): boolean {
  return processStat(identity.pid)?.startTime === identity.startTime;
}

/** The arguments of a process; empty when it is gone. */
export function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  } catch {
    return [];
  }
}

/** Every process id of the machine. */
export function allPids(): number[] {
  return readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));
}

export function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    // Kernels without CONFIG_PROC_CHILDREN.
    return allPids().filter((candidate) => processStat(candidate)?.ppid === pid);
  }
}
