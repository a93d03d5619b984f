import type { Container, Pod, PodSpec } from './pod.ts';
import { planPod, type PodAction } from './podPlan.ts';
import { applyPodEvent, initialPodState, type PodEvent, type PodState } from './podState.ts';
import { podPhase, podStatus } from './podStatus.ts';

/** A pod driven by its own plan, with a clock and processes of the test's making. */
export class PodTrial {
  now = 1_000_000;
  deleting = false;
  state: PodState;
  readonly spec: PodSpec;
  readonly done: string[] = [];

  constructor(spec: Partial<PodSpec> = {}) {
    this.spec = { restartPolicy: 'Always', containers: [container('main')], ...spec };
    this.state = initialPodState(this.spec, this.now);
  }

  apply(...events: PodEvent[]): this {
    for (const event of events) this.state = applyPodEvent(this.state, event, this.spec, this.now);
    return this;
  }

  get plan(): PodAction[] {
    return planPod(this.state, this.spec, this.now, { deleting: this.deleting }).actions;
  }

  get wakeAt(): number | undefined {
    return planPod(this.state, this.spec, this.now, { deleting: this.deleting }).wakeAt;
  }

  /** Carries out the plan until it asks for nothing: set-up and starts succeed, kills are noted. */
  settle(): this {
    for (let round = 0; round < 20; round += 1) {
      const actions = this.plan;
      if (actions.length === 0) return this;
      for (const action of actions) this.#perform(action);
      if (actions.every((action) => action.do === 'remove')) return this;
    }
    throw new Error(`the plan does not come to rest: ${this.done.join(' ')}`);
  }

  #perform(action: PodAction): void {
    this.done.push('container' in action ? `${action.do} ${action.container}` : action.do);
    if (action.do === 'setUp') this.apply({ type: 'sandboxReady', ip: '10.244.0.5' });
    else if (action.do === 'start') this.start(action.container);
    else if (action.do === 'kill') this.apply({ type: 'killing', container: action.container });
    else if (action.do === 'tearDown') this.apply({ type: 'sandboxEnded' });
    else if (action.do === 'end') this.apply({ type: 'podEnded', reason: action.reason, message: action.message });
  }

  start(name: string): this {
    return this.apply({ type: 'starting', container: name, containerID: `id://${name}` }, { type: 'running', container: name, pid: 1, pidStartTime: 1 });
  }

  exit(name: string, exitCode: number, signal?: number): this {
    return this.apply({ type: 'exited', container: name, exitCode, ...(signal === undefined ? {} : { signal }) });
  }

  pass(ms: number): this {
    this.now += ms;
    return this;
  }

  get phase(): string {
    return podPhase(this.state, this.spec);
  }

  of(name: string): PodState['containers'][number] {
    return this.state.containers.find((item) => item.name === name)!;
  }

  get pod(): Pod {
    return { metadata: { name: 'p', namespace: 'n', uid: 'u', ...(this.deleting ? { deletionTimestamp: 'now' } : {}) }, spec: this.spec };
  }

  get status(): ReturnType<typeof podStatus> {
    return podStatus(this.pod, this.state, { now: this.now, hostIP: '10.240.0.1', imageId: (image) => `id-of-${image}` });
  }

  condition(type: string): string {
    const found = this.status.conditions?.find((condition) => condition.type === type);
    return [found?.status, found?.reason, found?.message].filter((part) => part !== undefined && part !== null).join(' | ');
  }
}

export function container(name: string, fields: Partial<Container> = {}): Container {
  return { name, image: 'busybox', ...fields };
}
