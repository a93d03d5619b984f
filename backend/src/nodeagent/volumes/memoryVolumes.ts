import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';

const tmpfs = '/dev/shm';

/**
 * Where emptyDir volumes of medium Memory live: the machine's tmpfs, in one folder per state folder, one below it per pod.
 * A machine without that tmpfs gets them in `home`.
 */
export function memoryVolumesDir(home: string): string {
  const name = createHash('sha256').update(home).digest('hex').slice(0, 12);
  return existsSync(tmpfs) ? path.join(tmpfs, `dynamo-labs-${name}`) : path.join(home, 'run', 'memory');
}

/** Removes the memory volumes of all pods but `keep` (uids), and the folder itself when none is left. */
export async function sweepMemoryVolumes(home: string, keep: ReadonlySet<string>): Promise<void> {
  const dir = memoryVolumesDir(home);
  for (const uid of await readdir(dir).catch(() => [])) if (!keep.has(uid)) await rm(path.join(dir, uid), { recursive: true, force: true });
  if (keep.size === 0) await rm(dir, { recursive: true, force: true });
}
