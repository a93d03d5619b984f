import { readFileSync, readdirSync, rmSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { type ProcessIdentity, endProcess, identityOf, isAlive } from './processIdentity.ts';
import type { StateLayout } from './stateLayout.ts';
import { readRecord, recordFile } from './supervisorRecord.ts';

const graceMs = 10_000;

/**
 * Ends what a stack left behind whose supervisor is gone: the recorded processes by pid and start time, highest stage
 * first, then whatever else carries the stack's id (notebook kernels, terminals). Resolves with their names.
 * Does nothing while that supervisor lives.
 */
export async function endSurvivors(layout: StateLayout): Promise<string[]> {
  const record = readRecord(layout);
  if (record === undefined || isAlive(record)) return [];
  const alive = record.processes.filter((entry) => entry.pid > 0 && isAlive(entry));
  const stages = [...new Set(alive.map((entry) => entry.stage))].sort((a, b) => b - a);
  for (const stage of stages) {
    await Promise.all(alive.filter((entry) => entry.stage === stage).map((entry) => endProcess(entry, graceMs)));
  }
  const others = await endTagged(record.id);
  await removeSockets(layout);
  rmSync(recordFile(layout), { force: true });
  return [...alive.map((entry) => entry.name), ...others];
}

/** Removes the socket files of a stack that no longer runs. */
export async function removeSockets(layout: StateLayout): Promise<void> {
  const names = await readdir(layout.sockets).catch(() => []);
  await Promise.all(names.filter((name) => name.endsWith('.sock')).map((name) => rm(path.join(layout.sockets, name), { force: true })));
}

/** Ends every process of this user whose environment names the stack. Linux only: elsewhere an environment cannot be read. */
export async function endTagged(id: string): Promise<string[]> {
  const found = tagged(id);
  await Promise.all(found.map((entry) => endProcess(entry, 2_000)));
  return found.map((entry) => entry.name);
}

function tagged(id: string): (ProcessIdentity & { name: string })[] {
  if (process.platform !== 'linux') return [];
  const found: (ProcessIdentity & { name: string })[] = [];
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    try {
      if (!readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`DYNAMO_LABS_STACK=${id}`)) continue;
      const identity = identityOf(pid);
      if (identity !== undefined) found.push({ ...identity, name: readFileSync(`/proc/${pid}/comm`, 'utf8').trim() });
    } catch {
      // Gone in the meantime, or another user's.
    }
  }
  return found;
}
