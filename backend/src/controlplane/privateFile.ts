import { randomBytes } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { renameSync, writeFileSync } from 'node:fs';

/** Writes a file only its owner can read (0600), whole or not at all: a reader never sees half of it. */
export async function writePrivateFile(file: string, text: string): Promise<void> {
  const temporary = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    await writeFile(temporary, text, { mode: 0o600, flag: 'wx' });
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** The same, before the next event: for records that a SIGKILL must not outrun. */
export function writePrivateFileNow(file: string, text: string): void {
  const temporary = `${file}.${process.pid}.now`;
  writeFileSync(temporary, text, { mode: 0o600 });
  renameSync(temporary, file);
}
