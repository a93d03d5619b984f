import { setTimeout as sleep } from 'node:timers/promises';
import { KubeError } from '../../kube/index.ts';
import { podSubject, type EventText } from '../events/eventRecorder.ts';
import type { PodIdentity, PodSandbox } from '../podnet/podNet.ts';
import { PodVolumes } from '../volumes/podVolumes.ts';
import { backOffUntil } from './backOff.ts';
import { ContainerRunner, type RunnerHost } from './containerRunner.ts';
import { podsType, type NodeContext } from './nodeContext.ts';
import { allContainers, podFullName, type Pod } from './pod.ts';
import { planPod, wouldRestart, type PodAction } from './podPlan.ts';
import { podDir, removeRecord, saveRecord, type PodRecord } from './podRecord.ts';
import { applyPodEvent, initialPodState, type ContainerState, type PodEvent, type PodState } from './podState.ts';
import { podStatus } from './podStatus.ts';
import { StatusWriter } from './statusWriter.ts';

const setupRetry = { initialMs: 500, maxMs: 10_000 };
const troubleRetryMs = 1_000;
/** A forced deletion or the end of the agent leaves containers this long. */
const hurriedGraceMs = 2_000;

/**
 * Keeps one pod as its plan says: one step at a time it asks the plan, carries out the actions, writes the record for a later
 * agent and the status for the API server, and sleeps until something changes.
 */
export class PodWorker implements RunnerHost {
  readonly context: NodeContext;
  readonly volumes: PodVolumes;
  pod: Pod;
  sandbox: PodSandbox | undefined;
  readonly removed: Promise<void>;
  readonly #removed = Promise.withResolvers<void>();
  readonly #runners: Map<string, ContainerRunner>;
  readonly #status: StatusWriter;
  #state: PodState;
  #vanished = false;
  #stopping = false;
  #step: Promise<void> | undefined;
  #again = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(context: NodeContext, pod: Pod, record?: PodRecord) {
    this.context = context;
    this.pod = pod;
    this.#state = record?.state ?? initialPodState(pod.spec, Date.now());
    this.#status = new StatusWriter(context, pod);
    this.#runners = new Map(allContainers(pod.spec).map((container) => [container.name, new ContainerRunner(this, container)]));
    this.volumes = new PodVolumes({
      client: context.client,
      tokens: context.tokens,
      home: context.home,
      dir: podDir(context.podsDir, this.uid),
      facts: { nodeName: context.nodeName, hostIP: context.hostIP, podIP: this.#state.ip ?? '', allocatable: context.allocatable },
    });
    this.removed = this.#removed.promise;
    this.#step = (record === undefined ? this.#begin() : this.#takeOver()).catch(this.#troubled).finally(() => {
      this.#step = undefined;
      this.#kick();
    });
  }

  get uid(): string {
    return this.pod.metadata.uid ?? '';
  }

  get state(): PodState {
    return this.#state;
  }

  runner(container: string): ContainerRunner | undefined {
    return this.#runners.get(container);
  }

  stateOf(container: string): ContainerState {
    return this.#state.containers.find((item) => item.name === container)!;
  }

  get #identity(): PodIdentity {
    const { name, namespace } = this.pod.metadata;
    return { uid: this.uid, name, namespace: namespace ?? 'default', nodeName: this.context.nodeName, hostname: this.pod.spec.hostname ?? name };
  }

  /** A newer version of the API object. */
  update(pod: Pod): void {
    const before = this.pod;
    this.pod = pod;
    if (pod.metadata.deletionTimestamp !== undefined) {
      const graceMs = (pod.metadata.deletionGracePeriodSeconds ?? 30) * 1000;
      if (before.metadata.deletionGracePeriodSeconds !== pod.metadata.deletionGracePeriodSeconds)
        for (const runner of this.#runners.values()) runner.hurry(graceMs);
    }
    // A readiness gate's condition may have been set by somebody else.
    this.#publish();
    this.#kick();
  }

  /** The API object is gone (forced deletion): end the containers without asking anybody. */
  vanish(): void {
    this.#vanished = true;
    this.#status.stop();
    for (const runner of this.#runners.values()) runner.hurry(hurriedGraceMs);
    this.#kick();
  }

  /** Ends all containers and the sandbox because the agent stops; the API object stays and the next agent starts it again. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    // A step that waits for an API server that is gone must not hold up the end.
    await Promise.race([this.#step, sleep(hurriedGraceMs)]);
    clearTimeout(this.#timer);
    const alive = [...this.#runners.values()].flatMap((runner) => (runner.process === undefined ? [] : [runner.process.exited]));
    for (const runner of this.#runners.values()) {
      runner.kill({ graceMs: hurriedGraceMs });
      runner.hurry(hurriedGraceMs);
    }
    await Promise.race([Promise.all(alive), sleep(2 * hurriedGraceMs + 1_000)]);
    await this.sandbox?.destroy();
    this.#state = applyPodEvent(this.#state, { type: 'sandboxLost' }, this.pod.spec, Date.now());
    saveRecord(this.context.podsDir, this.#record);
    this.#publish();
    await Promise.race([this.#status.flush(), sleep(1_000)]);
    this.#status.stop();
  }

  /** Brings volumes whose source may have changed up to date. */
  async refreshVolumes(): Promise<void> {
    if (this.sandbox !== undefined && !this.#deleting) await this.volumes.refresh(this.pod);
  }

  apply(event: PodEvent): void {
    this.#state = applyPodEvent(this.#state, event, this.pod.spec, Date.now());
    saveRecord(this.context.podsDir, this.#record);
    if (event.type === 'exited') this.#noteBackOff(event.container);
    this.#publish();
    this.#kick();
  }

  get #record(): PodRecord {
    return { version: 1, nodeName: this.context.nodeName, pod: this.pod, state: this.#state };
  }

  async #begin(): Promise<void> {
    saveRecord(this.context.podsDir, this.#record);
    this.#publish();
  }

  /** Goes on with what an earlier agent left: its sandbox and processes where they are whole, else a fresh start. */
  async #takeOver(): Promise<void> {
    if (this.#state.sandbox === 'ended') return;
    this.sandbox = this.#state.sandbox === 'ready' ? await this.context.podNet.recoverSandbox(this.#identity) : undefined;
    const torn = this.#state.containers.some((container) => container.now.is === 'starting');
    if (this.sandbox === undefined || torn || this.sandbox.ip !== this.#state.ip) {
      // Between "starting" and "running" nobody noted the process: only a new sandbox makes sure that there is one of it.
      await this.sandbox?.destroy();
      this.sandbox = undefined;
      this.apply({ type: 'sandboxLost' });
      return;
    }
    await this.volumes.setUp(this.pod).catch((error: unknown) => this.context.log.warn(`volumes of adopted pod ${this.pod.metadata.name}`, error));
    for (const runner of this.#runners.values()) await runner.adopt();
    this.#publish();
  }

  #publish(): void {
    if (this.#vanished) return;
    const { hostIP, images } = this.context;
    this.#status.set(
      podStatus(this.pod, this.#state, {
        now: Date.now(),
        hostIP,
        imageId: (image) => images.catalogue.resolve(image)?.id ?? '',
        previous: this.#status.current?.conditions ?? this.pod.status?.conditions ?? [],
      }),
    );
  }

  #noteBackOff(container: string): void {
    const state = this.stateOf(container);
    if (state.now.is !== 'terminated' || this.#deleting || !wouldRestart(state, this.pod.spec)) return;
    if (backOffUntil(state.backOff, state.now.finishedAt, Date.now()) === undefined) return;
    this.#event(
      { type: 'Warning', reason: 'BackOff', message: `Back-off restarting failed container ${container} in pod ${podFullName(this.pod)}` },
      container,
    );
  }

  #event(event: EventText, container?: string): void {
    this.context.recorder.record(podSubject(this.pod, this.context.nodeName, container), event);
  }

  get #deleting(): boolean {
    return this.#vanished || this.pod.metadata.deletionTimestamp !== undefined;
  }

  #kick(): void {
    if (this.#stopping) return;
    this.#again = true;
    this.#step ??= this.#run()
      .catch(this.#troubled)
      .finally(() => {
        this.#step = undefined;
        if (this.#again) this.#kick();
      });
  }

  /** What no plan foresees (a full disk, a helper that died): said once per occurrence, and tried again. */
  readonly #troubled = (error: unknown): void => {
    this.context.log.warn(`pod ${this.pod.metadata.namespace}/${this.pod.metadata.name}`, error);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#wake(), troubleRetryMs);
  };

  async #run(): Promise<void> {
    while (this.#again && !this.#stopping) {
      this.#again = false;
      clearTimeout(this.#timer);
      const plan = planPod(this.#state, this.pod.spec, Date.now(), { deleting: this.#deleting });
      for (const action of plan.actions) if (!this.#stopping) await this.#perform(action);
      if (plan.wakeAt !== undefined && !this.#again) this.#timer = setTimeout(() => this.#wake(), Math.max(0, plan.wakeAt - Date.now()));
    }
  }

  #wake(): void {
    this.#publish();
    this.#kick();
  }

  async #perform(action: PodAction): Promise<void> {
    switch (action.do) {
      case 'setUp':
        return this.#setUp();
      case 'start':
        return this.#runners.get(action.container)?.start();
      case 'kill':
        return this.#runners.get(action.container)?.kill({
          why: action.why,
          ...(action.message === undefined ? {} : { message: action.message }),
          ...(action.why === 'pod' && this.#deleting
            ? { graceMs: this.#vanished ? hurriedGraceMs : (this.pod.metadata.deletionGracePeriodSeconds ?? 30) * 1000 }
            : {}),
        });
      case 'end':
        this.#event({ type: 'Normal', reason: action.reason, message: action.message });
        return this.apply({ type: 'podEnded', reason: action.reason, message: action.message });
      case 'tearDown':
        await this.sandbox?.destroy();
        this.sandbox = undefined;
        return this.apply({ type: 'sandboxEnded' });
      case 'remove':
        return this.#remove();
    }
  }

  async #setUp(): Promise<void> {
    const failed = (reason: string, message: string): void => {
      this.#event({ type: 'Warning', reason, message });
      const failures = this.#state.setup?.failures ?? 0;
      this.apply({ type: 'setupFailed', retryAt: Date.now() + Math.min(setupRetry.initialMs * 2 ** failures, setupRetry.maxMs) });
    };
    try {
      await this.volumes.setUp(this.pod);
    } catch (error) {
      return failed('FailedMount', (error as Error).message);
    }
    try {
      this.sandbox = await this.context.podNet.createSandbox(this.#identity);
    } catch (error) {
      return failed('FailedCreatePodSandBox', `Failed to create pod sandbox: ${(error as Error).message}`);
    }
    this.apply({ type: 'sandboxReady', ip: this.sandbox.ip });
  }

  async #remove(): Promise<void> {
    await this.#status.flush();
    this.#status.stop();
    await this.#deleteObject();
    if (this.#stopping) return;
    await this.volumes.tearDown(this.uid);
    this.context.images.forget(this.uid);
    await removeRecord(this.context.podsDir, this.uid);
    this.#stopping = true;
    this.#removed.resolve();
  }

  async #deleteObject(): Promise<void> {
    const { name, namespace } = this.pod.metadata;
    for (let waitMs = 100; !this.#vanished && !this.#stopping; waitMs = Math.min(waitMs * 2, 5_000)) {
      try {
        await this.context.client.delete(podsType, name, namespace, { gracePeriodSeconds: 0, preconditions: { uid: this.uid } });
        return;
      } catch (error) {
        if (error instanceof KubeError && error.status === 409) return;
        this.context.log.warn(`pod ${namespace}/${name} not removed`, error);
        await sleep(waitMs);
      }
    }
  }
}
