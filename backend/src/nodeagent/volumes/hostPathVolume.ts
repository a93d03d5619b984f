import { mkdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { VolumeError } from './volumeError.ts';

/**
 * Where a hostPath volume really is. A node here is a person's machine: what a manifest would create or write in `/data` belongs
 * below `<home>/hostpath/data`. Two cases use the path as it is: below the state folder (our own PersistentVolumes), and with a
 * type that says it must exist already (`Directory`, `File`, `Socket`, …).
 */
export async function resolveHostPath(source: { path: string; type?: string }, home: string): Promise<string> {
  const { type = '' } = source;
  const wanted = path.resolve('/', source.path);
  const own = wanted === home || wanted.startsWith(`${home}${path.sep}`);
  const real = own || ['Directory', 'File', 'Socket', 'CharDevice', 'BlockDevice'].includes(type) ? wanted : path.join(home, 'hostpath', wanted);
  if (type === 'DirectoryOrCreate' || (type === '' && !own)) await mkdir(real, { recursive: true });
  if (type === 'FileOrCreate') {
    await mkdir(path.dirname(real), { recursive: true });
    await writeFile(real, '', { flag: 'a' });
  }
  const found = await stat(real).catch(() => undefined);
  const isA: Record<string, boolean | undefined> = {
    '': found !== undefined,
    DirectoryOrCreate: found?.isDirectory(),
    Directory: found?.isDirectory(),
    FileOrCreate: found?.isFile(),
    File: found?.isFile(),
    Socket: found?.isSocket(),
    CharDevice: found?.isCharacterDevice(),
    BlockDevice: found?.isBlockDevice(),
  };
  if (isA[type] !== true) throw new VolumeError(`hostPath type check failed: ${source.path} is not ${article(type)}`);
  return real;
}

function article(type: string): string {
  const words: Record<string, string> = { Socket: 'a socket file', CharDevice: 'a character device', BlockDevice: 'a block device' };
  return words[type] ?? (type.startsWith('File') ? 'a file' : 'a directory');
}
