import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { isAlive } from './processIdentity.ts';
import type { ProcessState } from './processSpec.ts';
import type { StateLayout } from './stateLayout.ts';
import { readRecord } from './supervisorRecord.ts';

/** A stable interface: `npm run --silent status -- --json`. */
export interface StackStatus {
  /** Every part is up and the supervisor lives. */
  ready: boolean;
  /** Opens JupyterLab; holds its token. */
  url: string | null;
  kubeconfig: string | null;
  /** The backend's Unix socket. */
  backend: string | null;
  podNet: 'namespaces' | 'loopback' | null;
  processes: ProcessStatus[];
}

export interface ProcessStatus {
  name: string;
  /** `orphaned`: it runs although its supervisor is gone; the next start or stop ends it. */
  state: ProcessState | 'orphaned';
  pid: number | null;
  /** Resident memory of the process and its descendants. */
  rssBytes: number | null;
  ports: number[];
  log: string;
}

export function stackStatus(layout: StateLayout): StackStatus {
  const record = readRecord(layout);
  if (record === undefined) return { ready: false, url: null, kubeconfig: null, backend: null, podNet: null, processes: [] };
  const supervised = isAlive(record);
  const memory = residentTrees();
  const processes = record.processes
    .map((entry): ProcessStatus => {
      const alive = entry.pid > 0 && isAlive(entry);
      const state = supervised ? (alive || entry.state !== 'running' ? entry.state : 'restarting') : alive ? 'orphaned' : 'stopped';
      return { name: entry.name, state, pid: alive ? entry.pid : null, rssBytes: alive ? memory(entry.pid) : null, ports: entry.ports, log: entry.log };
    })
    .filter((entry) => supervised || entry.state === 'orphaned');
  const own: ProcessStatus = {
    name: 'supervisor',
    state: record.ready ? 'running' : 'starting',
    pid: record.pid,
    rssBytes: ownResident(record.pid),
    ports: [],
    log: '-',
  };
  return {
    ready: supervised && record.ready && processes.every((entry) => entry.state === 'running'),
    url: supervised ? (record.url ?? null) : null,
    kubeconfig: supervised ? record.kubeconfig : null,
    backend: supervised ? field(layout, 'backend.json', 'socket') : null,
    podNet: supervised ? (field(layout, 'node-agent.json', 'podNet') as StackStatus['podNet']) : null,
    processes: supervised ? [own, ...processes] : processes,
  };
}

function field(layout: StateLayout, file: string, name: string): string | null {
  try {
    const value = (JSON.parse(readFileSync(path.join(layout.run, file), 'utf8')) as Record<string, unknown>)[name];
    return typeof value === 'string' ? value : null;
  } catch {
    return null;
  }
}

/** Bytes, from VmRSS; `null` where /proc is missing or the process is gone. */
function ownResident(pid: number): number | null {
  try {
    const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return match?.[1] === undefined ? null : Number(match[1]) * 1024;
  } catch {
    return null;
  }
}

/** One look at all processes; the result sums a process and its descendants. */
function residentTrees(): (pid: number) => number | null {
  const children = new Map<number, number[]>();
  for (const name of process.platform === 'linux' ? readdirSync('/proc') : []) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      // Gone in the meantime.
    }
  }
  const sum = (pid: number): number => (ownResident(pid) ?? 0) + (children.get(pid) ?? []).reduce((total, child) => total + sum(child), 0);
  return (pid) => (ownResident(pid) === null ? null : sum(pid));
}
