import { describe, expect, test } from 'vitest';
import type { Container, Pod, PodSpec } from './pod.ts';
import { planPod, podOutcome, type PodAction } from './podPlan.ts';
import { applyPodEvent, initialPodState, type PodEvent, type PodState } from './podState.ts';
import { podPhase, podStatus } from './podStatus.ts';

/** A pod driven by its own plan, with a clock and processes of the test's making. */
class Trial {
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

function container(name: string, fields: Partial<Container> = {}): Container {
  return { name, image: 'busybox', ...fields };
}

describe('start', () => {
  test('sets up first, then starts all main containers', () => {
    const trial = new Trial({ containers: [container('a'), container('b')] });
    expect(trial.plan).toEqual([{ do: 'setUp' }]);
    expect(trial.phase).toBe('Pending');
    trial.settle();
    expect(trial.done).toEqual(['setUp', 'start a', 'start b']);
    expect(trial.phase).toBe('Running');
    expect(trial.condition('Ready')).toBe('True');
  });

  test('a set-up that failed is tried again at its time, not before', () => {
    const trial = new Trial();
    trial.apply({ type: 'setupFailed', retryAt: trial.now + 500 });
    expect(trial.plan).toEqual([]);
    expect(trial.wakeAt).toBe(trial.now + 500);
    expect(trial.pass(500).plan).toEqual([{ do: 'setUp' }]);
    expect(trial.state.setup?.failures).toBe(1);
    expect(trial.settle().state.setup).toBeUndefined();
  });

  test('a container without its image or configuration waits with the reason, and is Pending', () => {
    const trial = new Trial().apply({ type: 'sandboxReady', ip: '10.244.0.5' });
    trial.apply({ type: 'notStarted', container: 'main', reason: 'ErrImagePull', message: 'no such image', retryAt: trial.now + 1000 });
    expect(trial.status.containerStatuses?.[0]?.state).toEqual({ waiting: { reason: 'ErrImagePull', message: 'no such image' } });
    expect(trial.plan).toEqual([]);
    expect(trial.phase).toBe('Pending');
    expect(trial.pass(1000).plan).toEqual([{ do: 'start', container: 'main' }]);
  });

  test('before anything runs, containers are creating; behind init containers they are initializing', () => {
    expect(new Trial().status.containerStatuses?.[0]?.state.waiting?.reason).toBe('ContainerCreating');
    const waiting = new Trial({ initContainers: [container('init')] }).status;
    expect(waiting.containerStatuses?.[0]?.state.waiting?.reason).toBe('PodInitializing');
  });
});

describe('restart policy', () => {
  const cases: [NonNullable<PodSpec['restartPolicy']>, number, string][] = [
    ['Always', 0, 'Running'],
    ['Always', 1, 'Running'],
    ['OnFailure', 0, 'Succeeded'],
    ['OnFailure', 1, 'Running'],
    ['Never', 0, 'Succeeded'],
    ['Never', 1, 'Failed'],
  ];
  test.each(cases)('%s after exit %i: %s', (restartPolicy, code, phase) => {
    const trial = new Trial({ restartPolicy }).settle().exit('main', code);
    expect(trial.phase).toBe(phase);
    expect(podOutcome(trial.state, trial.spec) !== undefined).toBe(phase !== 'Running');
    trial.settle();
    expect(trial.done.at(-1)).toBe(phase === 'Running' ? 'start main' : 'tearDown');
  });

  test('Failed when one of two failed, once both have ended', () => {
    const trial = new Trial({ restartPolicy: 'Never', containers: [container('a'), container('b')] }).settle().exit('a', 1);
    expect(trial.phase).toBe('Running');
    expect(trial.exit('b', 0).phase).toBe('Failed');
    expect(trial.condition('Ready')).toBe('False | PodFailed');
  });

  test('a pod that succeeded is completed, and keeps its address', () => {
    const trial = new Trial({ restartPolicy: 'Never' }).settle().exit('main', 0).settle();
    expect(trial.condition('Ready')).toBe('False | PodCompleted');
    expect(trial.condition('Initialized')).toBe('True | PodCompleted');
    expect(trial.status.podIP).toBe('10.244.0.5');
  });

  test('a signal is 128 + n', () => {
    const trial = new Trial({ restartPolicy: 'Never' }).settle().exit('main', 143, 15);
    expect(trial.status.containerStatuses?.[0]?.state.terminated).toMatchObject({ exitCode: 143, signal: 15, reason: 'Error' });
  });
});

describe('back-off', () => {
  test('the first restart is at once, the second after 2 s, then doubling to 30 s', () => {
    const trial = new Trial().settle();
    const waits: number[] = [];
    for (let index = 0; index < 7; index += 1) {
      trial.exit('main', 1);
      const { wakeAt } = trial;
      waits.push(wakeAt === undefined ? 0 : wakeAt - trial.now);
      if (wakeAt !== undefined) trial.now = wakeAt;
      trial.settle();
    }
    expect(waits).toEqual([0, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    expect(trial.status.containerStatuses?.[0]?.restartCount).toBe(7);
  });

  test('while it waits: CrashLoopBackOff, with the last run and the kubelet text', () => {
    const trial = new Trial().settle().exit('main', 1).settle().exit('main', 3);
    const status = trial.status.containerStatuses?.[0];
    expect(status?.state).toEqual({ waiting: { reason: 'CrashLoopBackOff', message: 'back-off 2s restarting failed container=main pod=p_n(u)' } });
    expect(status?.lastState.terminated?.exitCode).toBe(3);
    expect(trial.phase).toBe('Running');
    expect(trial.condition('ContainersReady')).toBe('False | ContainersNotReady | containers with unready status: [main]');
  });

  test('a long clean run forgets it', () => {
    const trial = new Trial().settle().exit('main', 1).settle();
    trial.pass(61_000).exit('main', 1);
    expect(trial.wakeAt).toBeUndefined();
    expect(trial.plan).toEqual([{ do: 'start', container: 'main' }]);
  });

  test('a pod that is being deleted shows how it ended, not a back-off', () => {
    const trial = new Trial().settle().exit('main', 1).settle().exit('main', 1);
    trial.deleting = true;
    expect(trial.status.containerStatuses?.[0]?.state.terminated?.exitCode).toBe(1);
  });
});

describe('init containers', () => {
  const spec = { initContainers: [container('one'), container('two')] };

  test('run in order, each once, before the main container', () => {
    const trial = new Trial(spec).settle();
    expect(trial.done).toEqual(['setUp', 'start one']);
    expect(trial.condition('Initialized')).toBe('False | ContainersNotInitialized | containers with incomplete status: [one two]');
    trial.exit('one', 0).settle();
    expect(trial.done.at(-1)).toBe('start two');
    trial.exit('two', 0).settle();
    expect(trial.done.at(-1)).toBe('start main');
    expect(trial.phase).toBe('Running');
    expect(trial.condition('Initialized')).toBe('True');
    expect(trial.status.initContainerStatuses?.map((status) => status.ready)).toEqual([true, true]);
  });

  test('a failed one runs again with back-off, the pod stays Pending', () => {
    const trial = new Trial(spec).settle().exit('one', 1).settle().exit('one', 1);
    expect(trial.phase).toBe('Pending');
    expect(trial.wakeAt).toBe(trial.now + 2_000);
    expect(trial.status.initContainerStatuses?.[0]?.state.waiting?.reason).toBe('CrashLoopBackOff');
  });

  test('with Never, a failed one fails the pod', () => {
    const trial = new Trial({ ...spec, restartPolicy: 'Never' }).settle().exit('one', 1);
    expect(trial.phase).toBe('Failed');
    expect(trial.settle().done.at(-1)).toBe('tearDown');
  });

  test('they do not run again when the main container restarts', () => {
    const trial = new Trial(spec).settle().exit('one', 0).settle().exit('two', 0).settle().exit('main', 1).settle();
    expect(trial.done.slice(-1)).toEqual(['start main']);
  });

  test('a sidecar starts in its turn, stays, and holds the next back until it has started', () => {
    const sidecar = container('side', { restartPolicy: 'Always', startupProbe: { exec: { command: ['true'] } } });
    const trial = new Trial({ initContainers: [sidecar, container('after')] }).settle();
    expect(trial.done).toEqual(['setUp', 'start side']);
    trial.apply({ type: 'probed', container: 'side', probe: 'startup', ok: true }).settle();
    expect(trial.done.at(-1)).toBe('start after');
    trial.exit('after', 0).settle();
    expect(trial.condition('Ready')).toBe('True');
    trial.exit('side', 1);
    expect(trial.condition('ContainersReady')).toContain('[side]');
    expect(trial.settle().done.at(-1)).toBe('start side');
  });

  test('sidecars end after the main containers, the last one first, and do not keep a finished pod alive', () => {
    const side = (name: string): Container => container(name, { restartPolicy: 'Always' });
    const trial = new Trial({ restartPolicy: 'Never', initContainers: [side('s1'), side('s2')] }).settle().exit('main', 0).settle();
    expect(trial.done.at(-1)).toBe('kill s2');
    trial.exit('s2', 143).settle();
    expect(trial.done.at(-1)).toBe('kill s1');
    trial.exit('s1', 143).settle();
    expect(trial.done.at(-1)).toBe('tearDown');
    expect(trial.phase).toBe('Succeeded');
  });
});

describe('probes', () => {
  const probe = { exec: { command: ['true'] } };

  test('readiness decides about ready, both ways', () => {
    const trial = new Trial({ containers: [container('main', { readinessProbe: probe })] }).settle();
    expect(trial.of('main').ready).toBe(false);
    expect(trial.apply({ type: 'probed', container: 'main', probe: 'readiness', ok: true }).of('main').ready).toBe(true);
    expect(trial.apply({ type: 'probed', container: 'main', probe: 'readiness', ok: false }).of('main').ready).toBe(false);
  });

  test('startup gates ready', () => {
    const trial = new Trial({ containers: [container('main', { startupProbe: probe })] }).settle();
    expect(trial.of('main')).toMatchObject({ started: false, ready: false });
    expect(trial.apply({ type: 'probed', container: 'main', probe: 'startup', ok: true }).of('main')).toMatchObject({ started: true, ready: true });
  });

  test.each(['liveness', 'startup'] as const)('a failed %s probe ends the run once, with the kubelet text', (kind) => {
    const trial = new Trial({ containers: [container('main', { [`${kind}Probe`]: probe })] }).settle();
    trial.apply({ type: 'probed', container: 'main', probe: kind, ok: false });
    expect(trial.plan).toEqual([{ do: 'kill', container: 'main', why: kind, message: `Container main failed ${kind} probe, will be restarted` }]);
    trial.settle();
    expect(trial.plan).toEqual([]);
    trial.exit('main', 137).settle();
    expect(trial.done.at(-1)).toBe('start main');
    expect(trial.of('main').failedProbe).toBeUndefined();
  });

  test('with Never nothing is promised to be restarted', () => {
    const trial = new Trial({ restartPolicy: 'Never', containers: [container('main', { livenessProbe: probe })] }).settle();
    trial.apply({ type: 'probed', container: 'main', probe: 'liveness', ok: false });
    expect(trial.plan).toMatchObject([{ message: 'Container main failed liveness probe' }]);
  });

  test('a result that comes after the run has ended changes nothing', () => {
    const trial = new Trial({ containers: [container('main', { livenessProbe: probe })] }).settle().exit('main', 1);
    const before = trial.state;
    expect(trial.apply({ type: 'probed', container: 'main', probe: 'liveness', ok: false }).state).toEqual(before);
  });

  test('readiness gates: all of their conditions have to be there and True', () => {
    const trial = new Trial({ readinessGates: [{ conditionType: 'example.com/gate' }] }).settle();
    expect(trial.condition('ContainersReady')).toBe('True');
    expect(trial.condition('Ready')).toBe('False | ReadinessGatesNotReady | corresponding condition of pod readiness gate "example.com/gate" does not exist.');
  });
});

describe('deletion', () => {
  test('kills what runs, tears down when all has ended, then removes the object', () => {
    const trial = new Trial({ containers: [container('a'), container('b')] }).settle();
    trial.deleting = true;
    trial.settle();
    expect(trial.done.slice(-2)).toEqual(['kill a', 'kill b']);
    trial.exit('a', 0);
    expect(trial.plan).toEqual([]);
    trial.exit('b', 0).settle();
    expect(trial.done.slice(-2)).toEqual(['tearDown', 'remove']);
  });

  test('a pod that never started is removed without anything being started', () => {
    const trial = new Trial();
    trial.deleting = true;
    expect(trial.settle().done).toEqual(['remove']);
  });

  test('a crash-looping pod does not start again', () => {
    const trial = new Trial().settle().exit('main', 1).settle().exit('main', 1).pass(60_000);
    trial.deleting = true;
    expect(trial.settle().done.slice(-2)).toEqual(['tearDown', 'remove']);
  });
});

describe('activeDeadlineSeconds', () => {
  test('wakes up at the deadline and fails the pod', () => {
    const trial = new Trial({ activeDeadlineSeconds: 5 }).settle();
    expect(trial.wakeAt).toBe(1_005_000);
    trial.pass(5_000).settle();
    expect(trial.done.slice(-2)).toEqual(['end', 'kill main']);
    trial.exit('main', 143).settle();
    expect(trial.status).toMatchObject({ phase: 'Failed', reason: 'DeadlineExceeded' });
  });
});

describe('after the node lost everything', () => {
  test('running containers count as ended with 137 and start again in a new sandbox, init containers first', () => {
    const trial = new Trial({ initContainers: [container('init')] }).settle().exit('init', 0).settle();
    trial.apply({ type: 'sandboxLost' });
    expect(trial.status.containerStatuses?.[0]?.state.terminated).toMatchObject({ exitCode: 137, reason: 'ContainerStatusUnknown' });
    trial.done.length = 0;
    trial.settle();
    expect(trial.done).toEqual(['setUp', 'start init']);
    trial.exit('init', 0).settle();
    expect(trial.done.at(-1)).toBe('start main');
    expect(trial.of('main').run).toBe(1);
  });

  test('with Never the pod has failed', () => {
    const trial = new Trial({ restartPolicy: 'Never' }).settle().apply({ type: 'sandboxLost' });
    expect(trial.phase).toBe('Failed');
    expect(trial.settle().done.filter((action) => action === 'start main')).toHaveLength(1);
  });

  test('a finished init container of a Never pod stays finished', () => {
    const trial = new Trial({ restartPolicy: 'Never', initContainers: [container('init')] }).settle().exit('init', 3);
    trial.apply({ type: 'sandboxLost' });
    expect(trial.phase).toBe('Failed');
  });
});

describe('status', () => {
  test('keeps the transition time of a condition that does not change', () => {
    const trial = new Trial().settle();
    const first = trial.status.conditions!;
    trial.pass(10_000);
    const again = podStatus(trial.pod, trial.state, { now: trial.now, hostIP: '10.240.0.1', imageId: String, previous: first });
    expect(again.conditions).toEqual(first);
  });

  test('names host, pod and images', () => {
    expect(new Trial().settle().status).toMatchObject({
      hostIP: '10.240.0.1',
      hostIPs: [{ ip: '10.240.0.1' }],
      podIP: '10.244.0.5',
      podIPs: [{ ip: '10.244.0.5' }],
      startTime: '1970-01-01T00:16:40Z',
      containerStatuses: [{ name: 'main', image: 'busybox', imageID: 'id-of-busybox', containerID: 'id://main', ready: true, started: true, restartCount: 0 }],
    });
  });

  test('no event changes a state in place', () => {
    const trial = new Trial({ initContainers: [container('init')] }).settle();
    const frozen = JSON.stringify(trial.state);
    const { state } = trial;
    trial.exit('init', 0).settle().exit('main', 1).settle();
    expect(JSON.stringify(state)).toBe(frozen);
  });
});
