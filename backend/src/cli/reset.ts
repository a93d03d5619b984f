import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline/promises';
import { parseArgs } from 'node:util';
import { endSurvivors, isAlive, readRecord, stateLayout } from '../controlplane/index.ts';
import { endPods } from '../nodeagent/podnet/endPods.ts';
import { CliError } from './cliError.ts';

/** Removes the cluster's data, lab progress, notebooks, keys and logs; keeps the cache of downloads and builds. */
export async function reset(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: { yes: { type: 'boolean' } } });
  const layout = stateLayout();
  const record = readRecord(layout);
  if (record !== undefined && isAlive(record)) throw new CliError('Dynamo Labs runs: stop it before a reset.', 'npm stop && npm run reset');
  await endSurvivors(layout);
  await endPods(layout);
  // By name, never "everything below": DYNAMO_LABS_HOME may be a folder that holds more than ours.
  const own = [layout.etcd, layout.pki, layout.pods, layout.progress, layout.work, layout.logs, layout.run, layout.kubeconfig];
  const other = ['jupyter', 'jupyter.json', 'notebooks.json', 'volumes'].map((name) => path.join(layout.home, name));
  const existing = [...own, ...other, ...(layout.sockets === layout.run ? [] : [layout.sockets])].filter((file) => existsSync(file));
  if (existing.length === 0) {
    process.stdout.write(`Nothing to remove below ${layout.home}.\n`);
    return 0;
  }
  if (values.yes !== true && !(await confirmed(existing, layout.cache))) {
    process.stdout.write('Nothing was removed.\n');
    return 1;
  }
  for (const file of existing) await rm(file, { recursive: true, force: true });
  process.stdout.write(`Removed. ${layout.cache} is kept.\n`);
  return 0;
}

async function confirmed(files: string[], cache: string): Promise<boolean> {
  if (!process.stdin.isTTY) throw new CliError('A reset asks first, and there is no terminal to ask on.', 'npm run reset -- --yes');
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    process.stdout.write(
      `This removes the cluster's data, your lab progress and your copies of the notebooks:\n${files.map((file) => `  ${file}\n`).join('')}It keeps ${cache}.\n`,
    );
    return /^y(es)?$/i.test((await terminal.question('Remove them? [y/N] ')).trim());
  } finally {
    terminal.close();
  }
}
