import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

export interface ProjectedFile {
  data: Buffer;
  mode: number;
}

/**
 * Writes a set of files so that readers see all of the old or all of the new ones (kubelet AtomicWriter): the files live in a
 * time-stamped directory, `..data` points to it, and each visible name is a link through `..data`. Paths may have folders.
 */
export async function writeFilesAtomically(dir: string, files: Map<string, ProjectedFile>): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o755 });
  const dataLink = path.join(dir, '..data');
  const before = await readlink(dataLink).catch(() => undefined);
  if (before !== undefined && (await sameFiles(path.join(dir, before), files))) return;
  const fresh = await mkdtemp(path.join(dir, `..${new Date().toISOString().slice(0, 19).replace(/[-:T]/g, '_')}.`));
  await chmod(fresh, 0o755);
  for (const [name, { data, mode }] of files) {
    const file = path.join(fresh, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, data);
    await chmod(file, mode);
  }
  await symlink(path.basename(fresh), `${dataLink}_tmp`);
  await rename(`${dataLink}_tmp`, dataLink);
  const visible = new Set([...files.keys()].map((name) => name.split('/')[0]!));
  for (const name of visible) await symlink(path.join('..data', name), path.join(dir, name)).catch(ignoreExisting);
  for (const name of await readdir(dir)) {
    const stale = name.startsWith('..') ? name !== '..data' && name !== path.basename(fresh) : !visible.has(name);
    if (stale) await rm(path.join(dir, name), { recursive: true, force: true });
  }
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error;
}

async function sameFiles(dir: string, files: Map<string, ProjectedFile>): Promise<boolean> {
  const present = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  if (present.filter((entry) => entry.isFile()).length !== files.size) return false;
  for (const [name, { data }] of files) {
    const now = await readFile(path.join(dir, name)).catch(() => undefined);
    if (now === undefined || !now.equals(data)) return false;
  }
  return true;
}
