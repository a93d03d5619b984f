import { mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { Pod } from './pod.ts';
import type { PodState } from './podState.ts';

/** What a later agent needs to take over a pod: `<pods>/<uid>/pod.json`, 0600. */
export interface PodRecord {
  version: 1;
  nodeName: string;
  /** The pod as it was given to this node: its spec cannot change in what matters here. */
  pod: Pod;
  state: PodState;
}

export function podDir(podsDir: string, uid: string): string {
  return path.join(podsDir, uid);
}

/** Writes the record so that a reader sees the old or the new one, never a part. */
export function saveRecord(podsDir: string, record: PodRecord): void {
  const dir = podDir(podsDir, record.pod.metadata.uid ?? '');
  mkdirSync(dir, { recursive: true, mode: 0o711 });
  const file = path.join(dir, 'pod.json');
  writeFileSync(`${file}.new`, JSON.stringify(record), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/** The records of all pods of a node; folders without a readable record are returned as `broken`. */
export function loadRecords(podsDir: string): { records: PodRecord[]; broken: string[] } {
  const records: PodRecord[] = [];
  const broken: string[] = [];
  mkdirSync(podsDir, { recursive: true, mode: 0o711 });
  for (const uid of readdirSync(podsDir)) {
    try {
      const record = JSON.parse(readFileSync(path.join(podsDir, uid, 'pod.json'), 'utf8')) as PodRecord;
      if (record.version === 1) records.push(record);
      else broken.push(uid);
    } catch {
      // An agent that died before the first record left nothing to adopt.
      broken.push(uid);
    }
  }
  return { records, broken };
}

export async function removeRecord(podsDir: string, uid: string): Promise<void> {
  await rm(podDir(podsDir, uid), { recursive: true, force: true });
}
