import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { waitFileLock } from './fileLock.ts';

/** A program is nowhere on this machine and could be neither downloaded nor built. The message names every attempt. */
export class ProvisionError extends Error {
  readonly code = 'PROVISION';
  /** The command that mends it. */
  readonly mend: string;
  constructor(message: string, mend: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ProvisionError';
    this.mend = mend;
  }
}

export interface ProvisionContext {
  signal: AbortSignal;
  /** Told what is being waited for. */
  log: (note: string) => void;
  /** Default: the process's. */
  env?: NodeJS.ProcessEnv;
}

export interface Provision {
  /** E.g. `Kubernetes v1.36.3`. */
  what: string;
  /** The folder to make; its parent holds temporary folders and the lock. */
  dir: string;
  /** Ways to fill a folder, in order; the first that succeeds wins. */
  ways: { name: string; fill: (dir: string) => Promise<void> }[];
  context: ProvisionContext;
}

/**
 * Makes a cache folder once, whole or not at all: filled beside its place, then renamed. A second process waits for the
 * first. Temporary folders of killed attempts are removed.
 */
export async function provision(options: Provision): Promise<void> {
  const { dir, context, what } = options;
  const parent = path.dirname(dir);
  await mkdir(parent, { recursive: true });
  const release = await waitFileLock(path.join(parent, '.lock'), {
    signal: context.signal,
    onWait: (holder) => context.log(`another process (${holder.pid}) is getting it`),
  });
  const temporary = path.join(parent, `.new-${process.pid}`);
  try {
    if (existsSync(dir)) return;
    for (const name of await readdir(parent)) if (name.startsWith('.new-')) await rm(path.join(parent, name), { recursive: true, force: true });
    const failures: string[] = [];
    for (const way of options.ways) {
      context.signal.throwIfAborted();
      try {
        await mkdir(temporary, { recursive: true });
        await way.fill(temporary);
        await rename(temporary, dir);
        return;
      } catch (error) {
        await rm(temporary, { recursive: true, force: true });
        context.signal.throwIfAborted();
        if ((error as NodeJS.ErrnoException).code === 'ENOSPC' || /no space left on device/i.test(String(error))) throw error;
        failures.push(`  ${way.name}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    throw new ProvisionError(
      `${what} is not on this machine, and it could not be had:\n${failures.join('\n')}`,
      'Connect this machine to the internet, or install Go 1.26 or newer (https://go.dev/dl), then run the same command again.',
    );
  } finally {
    await rm(temporary, { recursive: true, force: true });
    release();
  }
}
