import { createHash, randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { FieldPathError } from '../env/fieldPath.ts';
import { ContainerConfigError } from '../env/configSource.ts';
import { podSubject, type EventText } from '../events/eventRecorder.ts';
import { ImageError } from '../images/imagePuller.ts';
import { readLog } from '../logs/logReader.ts';
import { RunLog } from '../logs/runLog.ts';
import { exitRecordFile, readExitRecord, type PodProcess, type PodSandbox } from '../podnet/index.ts';
import { checkProbe, type ProbeTarget } from '../probes/probeCheck.ts';
import { probesOf, runProbeLoop } from '../probes/probeLoop.ts';
import type { AttachTarget } from '../server/attach.ts';
import type { PodVolumes } from '../volumes/podVolumes.ts';
import { loadLaunch, prepareLaunch, saveLaunch, type Launch } from './containerLaunch.ts';
import { endProcess, type Ending } from './endProcess.ts';
import { runCommand, runHook } from './lifecycleHook.ts';
import type { NodeContext } from './nodeContext.ts';
import type { Container, Pod } from './pod.ts';
import { podDir } from './podRecord.ts';
import { lostRun, type ContainerState, type PodEvent } from './podState.ts';

/** What a container's runner needs of its pod. */
export interface RunnerHost {
  readonly context: NodeContext;
  readonly pod: Pod;
  readonly volumes: PodVolumes;
  readonly sandbox: PodSandbox | undefined;
  stateOf(container: string): ContainerState;
  apply(event: PodEvent): void;
}

/** A Secret or ConfigMap that is missing is looked for again after this time. */
const configRetryMs = 2_000;

/** Starts, watches, probes and ends the runs of one container. All decisions are the pod's plan; this only carries them out. */
export class ContainerRunner {
  readonly #host: RunnerHost;
  readonly #container: Container;
  #process: PodProcess | undefined;
  #log: RunLog | undefined;
  #attachTarget: AttachTarget | undefined;
  #launch: Launch | undefined;
  #probes = new AbortController();
  #ending: Ending | undefined;

  constructor(host: RunnerHost, container: Container) {
    this.#host = host;
    this.#container = container;
  }

  /** The folder of the container's logs and launch record. */
  get dir(): string {
    return path.join(podDir(this.#host.context.podsDir, this.#host.pod.metadata.uid ?? ''), 'containers', this.#container.name);
  }

  /** The process of the current run. */
  get process(): PodProcess | undefined {
    return this.#process;
  }

  /** The log of the current run, while it runs. */
  get log(): RunLog | undefined {
    return this.#log;
  }

  /** Interactive containers keep their streams with the agent, and end with it. */
  get interactive(): boolean {
    return this.#container.stdin === true || this.#container.tty === true;
  }

  /** The current run; of an interactive container also the last one, whose client may be late. */
  get attachTarget(): AttachTarget | undefined {
    return this.#attachTarget;
  }

  /** Begins a new run, or says why not. */
  async start(): Promise<void> {
    const { context, pod, volumes } = this.#host;
    const sandbox = this.#host.sandbox!;
    const { name } = this.#container;
    try {
      const image = context.images.ensure(pod.metadata.uid ?? '', this.#container, (event) => this.#record(event));
      this.#launch = await prepareLaunch(context, { pod, container: this.#container, image, sandbox, volumes, dir: this.dir });
    } catch (error) {
      return this.#notStarted(error);
    }
    saveLaunch(this.dir, this.#launch);
    const id = createHash('sha256').update(randomUUID()).digest('hex');
    this.#host.apply({ type: 'starting', container: name, containerID: `dynamo-labs://${id}` });
    const { run } = this.#host.stateOf(name);
    for (const suffix of ['log', 'log.1', 'stdout', 'stderr', 'json']) await rm(path.join(this.dir, `${run - 2}.${suffix}`), { force: true });
    const log = new RunLog({ dir: this.dir, run });
    this.#record({ type: 'Normal', reason: 'Created', message: 'Container created' });
    let process: PodProcess;
    try {
      process = await sandbox.spawn({
        ...this.#launch,
        ...(this.#container.tty === true ? { tty: { columns: 80, rows: 24 } } : {}),
        ...(this.#container.stdin === true ? { stdin: true } : {}),
        ...(this.interactive ? {} : { detached: { stdoutFile: log.rawFiles.stdout, stderrFile: log.rawFiles.stderr } }),
      });
    } catch (error) {
      const message = (error as Error).message;
      log.close();
      this.#record({ type: 'Warning', reason: 'Failed', message: `Error: failed to start container "${name}": ${message}` });
      this.#host.apply({ type: 'exited', container: name, exitCode: 128, reason: 'StartError', message });
      return;
    }
    this.#record({ type: 'Normal', reason: 'Started', message: 'Container started' });
    this.#watch(process, log);
    this.#host.apply({ type: 'running', container: name, pid: process.pid, pidStartTime: process.startTime });
    this.#startProbes();
    this.#postStart();
  }

  /** Takes over the run that an earlier agent started, or reports its end. */
  async adopt(): Promise<void> {
    const state = this.#host.stateOf(this.#container.name);
    if (state.now.is !== 'running') return;
    const process = await this.#host.sandbox?.adopt(state.now.pid, state.now.pidStartTime);
    if (process === undefined || this.interactive) {
      process?.kill('SIGKILL');
      const log = new RunLog({ dir: this.dir, run: state.run }).follow();
      log.close();
      // It may have ended in order while no agent was there.
      const record = process === undefined ? readExitRecord(exitRecordFile(log.rawFiles.stdout)) : undefined;
      this.#host.apply({
        type: 'exited',
        container: this.#container.name,
        ...(record === undefined ? lostRun : { exitCode: record.exitCode, ...(record.signal === undefined ? {} : { signal: record.signal }) }),
      });
      return;
    }
    this.#launch = loadLaunch(this.dir);
    this.#watch(process, new RunLog({ dir: this.dir, run: state.run }));
    this.#startProbes();
  }

  #notStarted(error: unknown): void {
    const container = this.#container.name;
    if (error instanceof ImageError) {
      this.#host.apply({ type: 'notStarted', container, reason: error.reason, message: error.message, retryAt: error.retryAt });
      return;
    }
    const message = (error as Error).message;
    const known = error instanceof ContainerConfigError || error instanceof FieldPathError;
    if (!known) this.#host.context.log.warn(`container ${container} of ${this.#host.pod.metadata.name} not started`, error);
    this.#record({ type: 'Warning', reason: 'Failed', message: `Error: ${message}` });
    this.#host.apply({ type: 'notStarted', container, reason: 'CreateContainerConfigError', message, retryAt: Date.now() + configRetryMs });
  }

  #watch(process: PodProcess, log: RunLog): void {
    this.#process = process;
    this.#log = log;
    this.#attachTarget = { process, log, stdinOnce: this.#container.stdinOnce === true };
    const drained: Promise<unknown>[] = [];
    if (this.interactive) {
      for (const stream of ['stdout', 'stderr'] as const) {
        const source = process[stream];
        if (source === undefined) continue;
        source.on('data', (bytes: Buffer) => log.append(stream, bytes));
        drained.push(new Promise((resolve) => source.once('close', resolve).once('end', resolve)));
      }
    } else log.follow();
    void process.exited.then(async ({ exitCode, signal }) => {
      this.#probes.abort();
      await Promise.race([Promise.all(drained), new Promise((resolve) => setTimeout(resolve, 1_000).unref())]);
      log.close();
      const message = await this.#terminationMessage(log, exitCode).catch(() => undefined);
      this.#process = undefined;
      this.#log = undefined;
      if (!this.interactive) this.#attachTarget = undefined;
      this.#ending = undefined;
      this.#host.apply({
        type: 'exited',
        container: this.#container.name,
        exitCode,
        ...(signal === undefined ? {} : { signal }),
        ...(message === undefined ? {} : { message }),
      });
    });
  }

  /** `FallbackToLogsOnError`: the end of the log, at most 80 lines and 2048 bytes. */
  async #terminationMessage(log: RunLog, exitCode: number): Promise<string | undefined> {
    if (exitCode === 0 || this.#container.terminationMessagePolicy !== 'FallbackToLogsOnError') return undefined;
    const parts: Buffer[] = [];
    for await (const bytes of readLog(log.file, { tailLines: 80 })) parts.push(bytes);
    return Buffer.concat(parts).subarray(-2048).toString('utf8');
  }

  #startProbes(): void {
    this.#probes = new AbortController();
    const { name } = this.#container;
    const state = this.#host.stateOf(name);
    if (state.kind === 'init' || state.now.is !== 'running') return;
    const { startedAt } = state.now;
    const target = this.probeTarget();
    for (const [kind, probe] of probesOf(this.#container)) {
      const options = {
        kind,
        probe,
        startedAt,
        isStarted: () => this.#host.stateOf(name).started,
        isReady: () => this.#host.stateOf(name).ready,
        check: (one: typeof probe, signal: AbortSignal) => checkProbe(one, target, signal),
        onResult: (ok: boolean) => this.#host.apply({ type: 'probed', container: name, probe: kind, ok }),
        onWarning: (message: string) => this.#record({ type: 'Warning', reason: 'Unhealthy', message }),
      };
      void runProbeLoop(options, this.#probes.signal);
    }
  }

  probeTarget(): ProbeTarget {
    const { context } = this.#host;
    return {
      podIP: this.#host.sandbox?.ip ?? '',
      container: this.#container,
      dial: (ip, port, signal) => context.podNet.dial(ip, port, signal),
      exec: async (argv, signal) => runCommand(await this.exec({ argv }), signal),
    };
  }

  #postStart(): void {
    const hook = this.#container.lifecycle?.postStart;
    if (hook === undefined) return;
    const process = this.#process;
    void runHook(hook, this.probeTarget(), this.#probes.signal).catch((error: unknown) => {
      if (this.#process !== process || this.#probes.signal.aborted) return;
      this.#record({ type: 'Warning', reason: 'FailedPostStartHook', message: 'PostStartHook failed' });
      this.#host.context.log.warn(`postStart of ${this.#container.name}`, error);
      this.kill({ graceMs: this.#graceMs('pod'), message: 'FailedPostStartHook' });
    });
  }

  #graceMs(why: 'pod' | 'liveness' | 'startup'): number {
    const probe = why === 'pod' ? undefined : this.#container[`${why}Probe`];
    return (probe?.terminationGracePeriodSeconds ?? this.#host.pod.spec.terminationGracePeriodSeconds ?? 30) * 1000;
  }

  /** Ends the current run: preStop hook, SIGTERM, and SIGKILL when the grace is over. */
  kill(options: { why?: 'pod' | 'liveness' | 'startup'; graceMs?: number; message?: string }): void {
    const process = this.#process;
    if (process === undefined || this.#ending !== undefined) return;
    this.#probes.abort();
    this.#host.apply({ type: 'killing', container: this.#container.name });
    this.#record({ type: 'Normal', reason: 'Killing', message: options.message ?? `Stopping container ${this.#container.name}` });
    const preStop = this.#container.lifecycle?.preStop;
    this.#ending = endProcess(process, {
      graceMs: options.graceMs ?? this.#graceMs(options.why ?? 'pod'),
      ...(preStop === undefined ? {} : { preStop: (signal: AbortSignal) => runHook(preStop, this.probeTarget(), signal) }),
      onHookError: () => this.#record({ type: 'Warning', reason: 'FailedPreStopHook', message: 'PreStopHook failed' }),
    });
  }

  /** Less grace than the kill under way has: never more. */
  hurry(graceMs: number): void {
    this.#ending?.hurry(graceMs);
  }

  /** Runs another program in the container. */
  async exec(options: { argv: string[]; tty?: { columns: number; rows: number }; stdin?: boolean }): Promise<PodProcess> {
    const { sandbox } = this.#host;
    if (sandbox === undefined || this.#launch === undefined || this.#process === undefined)
      throw new ContainerConfigError(`container not found ("${this.#container.name}")`);
    const { env, cwd, mounts } = this.#launch;
    const { pid, startTime } = this.#process;
    return sandbox.spawn({
      container: { pid, startTime },
      argv: options.argv,
      env: { ...env, ...(options.tty === undefined ? {} : { TERM: 'xterm' }) },
      cwd,
      mounts,
      ...(options.tty === undefined ? {} : { tty: options.tty }),
      ...(options.stdin === true ? { stdin: true } : {}),
    });
  }

  #record(event: EventText): void {
    const { context, pod } = this.#host;
    context.recorder.record(podSubject(pod, context.nodeName, this.#container.name), event);
  }
}
