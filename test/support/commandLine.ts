import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { endSurvivors, nodeArgv, stateLayout, type StateLayout } from '../../backend/src/controlplane/index.ts';

export interface CommandResult {
  code: number | null;
  output: string;
}

export interface RunningCommand {
  child: ChildProcess;
  /** stdout and stderr so far. */
  output(): string;
  /** Resolves when the output holds `text`; rejects with the output when the command ends or 90 s pass without it. */
  says(text: string): Promise<void>;
  exited: Promise<CommandResult>;
}

/** The command line on a state folder of its own, with the shared cache. */
export class CommandLine {
  readonly layout: StateLayout;
  readonly #running = new Set<ChildProcess>();

  constructor() {
    const home = mkdtempSync(path.join(tmpdir(), 'dlc-'));
    this.layout = stateLayout({ DYNAMO_LABS_HOME: home, DYNAMO_LABS_CACHE: stateLayout().cache });
  }

  start(args: string[], env: Record<string, string> = {}): RunningCommand {
    const [program = '', ...rest] = nodeArgv('backend/src/cli/main.ts');
    const child = spawn(program, [...rest, ...args], {
      env: { ...process.env, DYNAMO_LABS_HOME: this.layout.home, DYNAMO_LABS_CACHE: this.layout.cache, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#running.add(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
    const exited = new Promise<CommandResult>((resolve) => {
      child.once('close', (code) => {
        this.#running.delete(child);
        resolve({ code, output });
      });
    });
    const says = async (text: string): Promise<void> => {
      const deadline = Date.now() + 90_000;
      while (!output.includes(text)) {
        if (Date.now() > deadline || !this.#running.has(child)) throw new Error(`"${text}" was not said:\n${output}`);
        await sleep(50);
      }
    };
    return { child, output: () => output, says, exited };
  }

  run(args: string[], env: Record<string, string> = {}): Promise<CommandResult> {
    return this.start(args, env).exited;
  }

  /** Ends what still runs and removes the state folder. */
  async close(): Promise<void> {
    for (const child of this.#running) child.kill('SIGKILL');
    while (this.#running.size > 0) await sleep(20);
    await endSurvivors(this.layout);
    await rm(this.layout.home, { recursive: true, force: true });
  }
}
