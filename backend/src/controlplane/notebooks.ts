import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { writePrivateFile } from './privateFile.ts';
import { projectDir } from './projectPaths.ts';
import type { StateLayout } from './stateLayout.ts';

/**
 * Gives the learner a copy of each lab's notebook, and of the `manifests/` that its cells read, and resolves with the labs'
 * ids, in order. A newer file replaces a copy only while that is byte for byte what we put there: anything else is the
 * learner's work.
 */
export async function copyNotebooks(layout: StateLayout, source = path.join(projectDir, 'labs')): Promise<string[]> {
  const recordFile = path.join(layout.home, 'notebooks.json');
  const record = await readFile(recordFile, 'utf8').then(
    (text) => JSON.parse(text) as Record<string, string>,
    () => ({}) as Record<string, string>,
  );
  const labs: string[] = [];
  for (const name of (await readdir(source)).sort()) {
    if (!existsSync(path.join(source, name, 'lab.ipynb'))) continue;
    labs.push(name);
    for (const file of await learnersFiles(path.join(source, name))) {
      const relative = path.join(name, file);
      const copy = path.join(layout.work, relative);
      if (existsSync(copy) && digest(await readFile(copy)) !== record[relative]) continue;
      const text = await readFile(path.join(source, relative));
      await mkdir(path.dirname(copy), { recursive: true, mode: 0o700 });
      await writePrivateFile(copy, text.toString('utf8'));
      record[relative] = digest(text);
    }
  }
  await writePrivateFile(recordFile, JSON.stringify(record, null, 1));
  return labs;
}

async function learnersFiles(lab: string): Promise<string[]> {
  const manifests = await readdir(path.join(lab, 'manifests')).catch(() => []);
  return ['lab.ipynb', ...manifests.sort().map((file) => path.join('manifests', file))];
}

function digest(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}
