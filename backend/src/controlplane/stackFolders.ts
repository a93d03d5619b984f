import { lstat, mkdir } from 'node:fs/promises';
import type { StateLayout } from './stateLayout.ts';

/** Makes the state folder's own folders, 0700: they hold keys, tokens, sockets and the learner's work. */
export async function ensureStackFolders(layout: StateLayout): Promise<void> {
  await mkdir(layout.cache, { recursive: true });
  for (const dir of [layout.home, layout.pki, layout.etcd, layout.pods, layout.progress, layout.work, layout.logs, layout.run, layout.sockets]) {
    await mkdir(dir, { recursive: true, mode: 0o700 });
  }
  // Outside `home` the socket folder lies in the shared temporary folder, where anybody could have made it first.
  const sockets = await lstat(layout.sockets);
  if (!sockets.isDirectory() || (process.getuid !== undefined && sockets.uid !== process.getuid()) || (sockets.mode & 0o077) !== 0) {
    throw new Error(`${layout.sockets} is not a private folder of this user: remove it`);
  }
}
