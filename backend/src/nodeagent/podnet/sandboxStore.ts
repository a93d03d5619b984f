import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readJsonFile, writeJsonFile } from './atomicFile.ts';
import { allPids, commandLine, processStat } from './processStat.ts';

/** How long killed processes may take to disappear. */
const endDeadlineMs = 10_000;

/**
 * The sandboxes' folders: `<dir>/sandboxes/<pod uid>/sandbox.json` and whatever else a driver keeps there. Every podinit
 * process of a sandbox has its folder as first argument, so that it is found also where no record names it.
 */
export class SandboxStore<R extends { pod: { uid: string } }> {
  readonly #dir: string;
  readonly #program: string;

  constructor(options: { dir: string; program: string }) {
    this.#dir = path.join(options.dir, 'sandboxes');
    this.#program = options.program;
  }

  folder(uid: string): string {
    return path.join(this.#dir, uid);
  }

  read(uid: string): R | undefined {
    return readJsonFile<R>(path.join(this.folder(uid), 'sandbox.json'));
  }

  write(record: R): void {
    const dir = this.folder(record.pod.uid);
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    writeJsonFile(path.join(dir, 'sandbox.json'), record);
  }

  /** Every folder, also one whose record is missing or broken. */
  uids(): string[] {
    try {
      return readdirSync(this.#dir);
    } catch {
      return [];
    }
  }

  remove(uid: string): void {
    rmSync(this.folder(uid), { recursive: true, force: true });
  }

  /** Host pids of living podinit processes with their sandbox's uid. */
  processes(): { pid: number; uid: string }[] {
    return allPids().flatMap((pid) => {
      const [program, command, marker = ''] = commandLine(pid);
      if (program !== this.#program || (command !== 'pause' && command !== 'run') || path.dirname(marker) !== this.#dir) return [];
      return processStat(pid) === undefined ? [] : [{ pid, uid: path.basename(marker) }];
    });
  }

  /** Waits until no process of a sandbox is left; kills what is still there at the deadline. */
  async awaitEnd(uid: string): Promise<void> {
    const deadline = Date.now() + endDeadlineMs;
    const own = (): number[] => this.processes().flatMap((found) => (found.uid === uid ? [found.pid] : []));
    for (let pids = own(); pids.length > 0; pids = own()) {
      // Looking at the few that are known is cheaper than at all of the machine.
      while (pids.some((pid) => processStat(pid) !== undefined) && Date.now() < deadline) await sleep(10);
      if (Date.now() < deadline) continue;
      for (const pid of pids) killProcess(pid);
      return;
    }
  }
}

/** SIGKILL; a process that is gone already is a success. A negative pid is a process group. */
export function killProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
