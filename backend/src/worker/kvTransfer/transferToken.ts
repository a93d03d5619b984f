import { createHash, randomBytes } from 'node:crypto';
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { CommandLineExit } from '../../runtime/commandLine.ts';

export interface TransferToken {
  token: string;
  /** Where it came from, for the log. */
  source: string;
}

/**
 * The secret that workers of one graph prove to each other: `DYNAMO_LABS_TRANSFER_TOKEN`, else the file `token` in the folder that they share
 * (`DYNAMO_LABS_TRANSFER_DIR`; the first one makes it, readable by its user alone), else one derived from the namespace, which keeps graphs apart and
 * nobody out.
 */
export function transferToken(namespace: string, env: NodeJS.ProcessEnv): TransferToken {
  const given = env['DYNAMO_LABS_TRANSFER_TOKEN'];
  if (given !== undefined && given !== '') return { token: given, source: 'DYNAMO_LABS_TRANSFER_TOKEN' };
  const folder = env['DYNAMO_LABS_TRANSFER_DIR'];
  if (folder !== undefined && folder !== '') return { token: sharedToken(folder), source: path.join(folder, 'token') };
  return {
    token: createHash('sha256').update(`dynamo-labs transfer ${namespace}`).digest('hex'),
    source: 'the namespace: protects from mix-ups, not from other users',
  };
}

/** Written under a name of its own and linked, so that nobody ever reads half of it and exactly one wins. */
function sharedToken(folder: string): string {
  const file = path.join(folder, 'token');
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw unusable(folder, error as Error);
  }
  const own = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    writeFileSync(own, randomBytes(32).toString('hex'), { mode: 0o600 });
    linkSync(own, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw unusable(folder, error as Error);
  } finally {
    rmSync(own, { force: true });
  }
  return readFileSync(file, 'utf8').trim();
}

function unusable(folder: string, cause: Error): CommandLineExit {
  return new CommandLineExit(2, `error: environment variable DYNAMO_LABS_TRANSFER_DIR: ${folder} cannot be used: ${cause.message}\n`);
}
