import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { ManagedProcess, type ProcessEvent } from './managedProcess.ts';
import { writePrivateFileNow } from './privateFile.ts';
import { startTimeOf } from './processIdentity.ts';
import type { ProcessSpec } from './processSpec.ts';
import type { StateLayout } from './stateLayout.ts';
import { endTagged } from './survivors.ts';
import { type SupervisorRecord, recordFile } from './supervisorRecord.ts';

/**
 * Runs a set of programs and keeps `<run>/supervisor.json` true: it is written in the same tick as a spawn, so that a
 * SIGKILL of this process leaves nothing that the next start cannot find.
 */
export class Supervisor {
  readonly id = randomBytes(8).toString('hex');
  readonly #layout: StateLayout;
  readonly #onEvent: (event: ProcessEvent) => void;
  readonly #processes: ManagedProcess[] = [];
  readonly #startedAt = new Date().toISOString();
  readonly #abort = new AbortController();
  #facts: { ready: boolean; url?: string } = { ready: false };
  #stopping: Promise<void> | undefined;

  constructor(options: { layout: StateLayout; onEvent?: (event: ProcessEvent) => void }) {
    this.#layout = options.layout;
    this.#onEvent = options.onEvent ?? (() => {});
    this.#write();
  }

  /** Aborted as soon as the stack begins to stop. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get processes(): readonly ManagedProcess[] {
    return this.#processes;
  }

  /** Starts a program and resolves when it is ready. */
  async run(spec: ProcessSpec, signal: AbortSignal): Promise<ManagedProcess> {
    this.#abort.signal.throwIfAborted();
    const tagged = { ...spec, env: { ...spec.env, DYNAMO_LABS_STACK: this.id } };
    const managed = new ManagedProcess(tagged, (event) => {
      this.#write();
      this.#onEvent(event);
    });
    this.#processes.push(managed);
    await managed.start(AbortSignal.any([signal, this.#abort.signal]));
    this.#write();
    return managed;
  }

  /** Facts that `status` shows beside the processes. */
  publish(facts: { ready: boolean; url?: string }): void {
    this.#facts = facts;
    this.#write();
  }

  /** Stops everything, highest stage first, and removes the record. Idempotent; it waits for its own end even if one program resists. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#abort.abort(new Error('the stack is being stopped'));
    this.#facts = { ...this.#facts, ready: false };
    this.#write();
    const stages = [...new Set(this.#processes.map((managed) => managed.spec.stage))].sort((a, b) => b - a);
    for (const stage of stages) {
      await Promise.all(this.#processes.filter((managed) => managed.spec.stage === stage).map((managed) => managed.stop()));
    }
    await endTagged(this.id);
    rmSync(recordFile(this.#layout), { force: true });
  }

  #write(): void {
    const record: SupervisorRecord = {
      id: this.id,
      pid: process.pid,
      startTime: startTimeOf(process.pid) ?? 0,
      startedAt: this.#startedAt,
      ...this.#facts,
      kubeconfig: this.#layout.kubeconfig,
      processes: this.#processes.map(({ spec, state, identity, restarts }) => ({
        name: spec.name,
        state,
        pid: identity?.pid ?? 0,
        startTime: identity?.startTime ?? 0,
        stage: spec.stage,
        ports: spec.ports,
        log: spec.logFile,
        restarts,
      })),
    };
    try {
      writePrivateFileNow(recordFile(this.#layout), `${JSON.stringify(record, null, 1)}\n`);
    } catch (error) {
      // On a full disk the programs go on: the record of a moment ago is better than ending them.
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  }
}
