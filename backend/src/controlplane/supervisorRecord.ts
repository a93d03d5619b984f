import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { ProcessState } from './processSpec.ts';
import type { ProcessIdentity } from './processIdentity.ts';
import type { StateLayout } from './stateLayout.ts';

export interface ProcessRecord extends ProcessIdentity {
  name: string;
  state: ProcessState;
  stage: number;
  ports: number[];
  log: string;
  restarts: number;
}

/** `<run>/supervisor.json`: what a stack consists of, written before anything can outlive it unrecorded. */
export interface SupervisorRecord extends ProcessIdentity {
  /** Random; every process of the stack carries it as `DYNAMO_LABS_STACK` in its environment. */
  id: string;
  startedAt: string;
  ready: boolean;
  url?: string;
  kubeconfig: string;
  /** Processes that are to run; `pid` 0 while one waits for its restart. */
  processes: ProcessRecord[];
}

export function recordFile(layout: StateLayout): string {
  return path.join(layout.run, 'supervisor.json');
}

/** `undefined` when there is none (or an unreadable one: it is replaced whole, so this is another program's file). */
export function readRecord(layout: StateLayout): SupervisorRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(recordFile(layout), 'utf8')) as SupervisorRecord;
    return Array.isArray(record.processes) && typeof record.pid === 'number' ? record : undefined;
  } catch {
    return undefined;
  }
}
