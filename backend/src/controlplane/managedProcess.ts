import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, renameSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ProcessStartError, logTail } from './processError.ts';
import { type ProcessIdentity, identityOf } from './processIdentity.ts';
import type { ProcessSpec, ProcessState } from './processSpec.ts';

const firstBackoffMs = 500;
const longestBackoffMs = 30_000;
/** A program that ran this long starts its back-off anew. */
const steadyMs = 60_000;
const largestLogBytes = 16 * 1024 * 1024;

export type ProcessEvent =
  | { type: 'spawned'; name: string; pid: number }
  | { type: 'ready'; name: string; ms: number }
  | { type: 'died'; name: string; how: string; retryInMs: number; log: string }
  | { type: 'recovered'; name: string; restarts: number };

/** One supervised program: started, waited for, started again when it dies, stopped with its whole process group. */
export class ManagedProcess {
  readonly spec: ProcessSpec;
  state: ProcessState = 'stopped';
  identity: ProcessIdentity | undefined;
  restarts = 0;
  readonly #onEvent: (event: ProcessEvent) => void;
  readonly #abort = new AbortController();
  #child: ChildProcess | undefined;
  #exited: Promise<string> = Promise.resolve('was never started');
  #watch: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(spec: ProcessSpec, onEvent: (event: ProcessEvent) => void) {
    this.spec = spec;
    this.#onEvent = onEvent;
  }

  /** Resolves when the program is ready. A first start that fails is not tried again: the error carries the log's end. */
  async start(signal: AbortSignal): Promise<void> {
    const stop = AbortSignal.any([signal, this.#abort.signal]);
    stop.throwIfAborted();
    this.state = 'starting';
    try {
      const began = performance.now();
      await this.#spawn();
      await this.#untilReady(stop);
      this.state = 'running';
      this.#onEvent({ type: 'ready', name: this.spec.name, ms: performance.now() - began });
    } catch (error) {
      await this.stop();
      this.state = 'failed';
      throw error;
    }
    this.#watch = this.#keepAlive();
  }

  /** SIGTERM, then SIGKILL to what is left of the process group. Idempotent. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.state = 'stopping';
    this.#abort.abort(new Error(`${this.spec.name} is being stopped`));
    const child = this.#child;
    if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), this.spec.stopTimeoutMs);
      await this.#exited;
      clearTimeout(timer);
    }
    if (child?.pid !== undefined) killGroup(child.pid);
    await this.#watch;
    this.identity = undefined;
    this.state = 'stopped';
  }

  async #spawn(): Promise<void> {
    const { spec } = this;
    await spec.prepare?.();
    // A stop that came meanwhile found nothing to end.
    this.#abort.signal.throwIfAborted();
    if (existsSync(spec.logFile) && statSync(spec.logFile).size > largestLogBytes) renameSync(spec.logFile, `${spec.logFile}.1`);
    const log = openSync(spec.logFile, 'a', 0o600);
    try {
      const [program = '', ...args] = spec.argv;
      // Its own process group: Ctrl-C in the terminal reaches only the supervisor, which then stops the programs in order.
      const child = spawn(program, args, { env: spec.env, stdio: ['ignore', log, log], detached: true, ...(spec.cwd === undefined ? {} : { cwd: spec.cwd }) });
      this.#child = child;
      this.#exited = new Promise((resolve) => {
        child.once('error', (error) => resolve(`could not be run: ${error.message}`));
        child.once('exit', (code, name) => resolve(name === null ? `ended with exit code ${code}` : `was ended by ${name}`));
      });
      if (child.pid !== undefined) {
        this.identity = identityOf(child.pid);
        this.#onEvent({ type: 'spawned', name: spec.name, pid: child.pid });
      }
    } finally {
      closeSync(log);
    }
  }

  async #untilReady(signal: AbortSignal): Promise<void> {
    const { spec } = this;
    let gone: string | undefined;
    void this.#exited.then((how) => (gone = how));
    if (this.#child?.pid === undefined) gone = await this.#exited;
    const deadline = Date.now() + spec.readyTimeoutMs;
    let last: unknown;
    for (;;) {
      if (gone !== undefined) throw new ProcessStartError(spec.name, `${gone} before it was ready`, spec.logFile);
      signal.throwIfAborted();
      try {
        await spec.probe?.(AbortSignal.any([signal, AbortSignal.timeout(5_000)]));
        if (gone === undefined) return;
      } catch (error) {
        last = error;
      }
      if (Date.now() > deadline) {
        const why = last instanceof Error ? ` (${last.message})` : '';
        throw new ProcessStartError(spec.name, `was not ready after ${Math.round(spec.readyTimeoutMs / 1000)} s${why}`, spec.logFile, { cause: last });
      }
      await sleep(50, undefined, { signal });
    }
  }

  async #keepAlive(): Promise<void> {
    const { signal } = this.#abort;
    let backoff = firstBackoffMs;
    let since = Date.now();
    while (!signal.aborted) {
      const how = await this.#exited;
      if (signal.aborted) return;
      if (this.#child?.pid !== undefined) killGroup(this.#child.pid);
      this.state = 'restarting';
      this.identity = undefined;
      if (Date.now() - since > steadyMs) backoff = firstBackoffMs;
      this.#onEvent({ type: 'died', name: this.spec.name, how, retryInMs: backoff, log: logTail(this.spec.logFile, 5) });
      try {
        await sleep(backoff, undefined, { signal });
        backoff = Math.min(backoff * 2, longestBackoffMs);
        await this.#spawn();
        since = Date.now();
        await this.#untilReady(signal);
        this.state = 'running';
        this.restarts++;
        this.#onEvent({ type: 'recovered', name: this.spec.name, restarts: this.restarts });
      } catch {
        if (signal.aborted) return;
        // Alive but never ready: end it, so that the loop above tells about it and tries again.
        this.#child?.kill('SIGKILL');
      }
    }
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody is left in the group.
  }
}
