import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { writePrivateFile } from './privateFile.ts';
import { projectDir } from './projectPaths.ts';
import type { StateLayout } from './stateLayout.ts';

/**
 * Gives the learner a copy of each lab's notebook and resolves with the labs' ids, in order. A newer notebook replaces a
 * copy only while that is byte for byte what we put there: anything else is the learner's work.
 */
export async function copyNotebooks(layout: StateLayout, source = path.join(projectDir, 'labs')): Promise<string[]> {
  const recordFile = path.join(layout.home, 'notebooks.json');
  const record = await readFile(recordFile, 'utf8').then(
    (text) => JSON.parse(text) as Record<string, string>,
    () => ({}) as Record<string, string>,
  );
  const labs: string[] = [];
  for (const name of (await readdir(source)).sort()) {
    const original = path.join(source, name, 'lab.ipynb');
    if (!existsSync(original)) continue;
    labs.push(name);
    const copy = path.join(layout.work, name, 'lab.ipynb');
    if (existsSync(copy) && digest(await readFile(copy)) !== record[name]) continue;
    const text = await readFile(original);
    await mkdir(path.dirname(copy), { recursive: true, mode: 0o700 });
    await writePrivateFile(copy, text.toString('utf8'));
    record[name] = digest(text);
  }
  await writePrivateFile(recordFile, JSON.stringify(record, null, 1));
  return labs;
}

function digest(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}
