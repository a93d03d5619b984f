import { describe, expect, test } from 'vitest';
import type { Container, PodSpec } from './pod.ts';
import { container, PodTrial } from './podTrial.ts';
import { podOutcome } from './podPlan.ts';

describe('start', () => {
  test('sets up first, then starts all main containers', () => {
    const trial = new PodTrial({ containers: [container('a'), container('b')] });
    expect(trial.plan).toEqual([{ do: 'setUp' }]);
    expect(trial.phase).toBe('Pending');
    trial.settle();
    expect(trial.done).toEqual(['setUp', 'start a', 'start b']);
    expect(trial.phase).toBe('Running');
    expect(trial.condition('Ready')).toBe('True');
  });

  test('a set-up that failed is tried again at its time, not before', () => {
    const trial = new PodTrial();
    trial.apply({ type: 'setupFailed', retryAt: trial.now + 500 });
    expect(trial.plan).toEqual([]);
    expect(trial.wakeAt).toBe(trial.now + 500);
    expect(trial.pass(500).plan).toEqual([{ do: 'setUp' }]);
    expect(trial.state.setup?.failures).toBe(1);
    expect(trial.settle().state.setup).toBeUndefined();
  });

  test('a container without its image or configuration waits with the reason, and is Pending', () => {
    const trial = new PodTrial().apply({ type: 'sandboxReady', ip: '10.244.0.5' });
    trial.apply({ type: 'notStarted', container: 'main', reason: 'ErrImagePull', message: 'no such image', retryAt: trial.now + 1000 });
    expect(trial.status.containerStatuses?.[0]?.state).toEqual({ waiting: { reason: 'ErrImagePull', message: 'no such image' } });
    expect(trial.plan).toEqual([]);
    expect(trial.phase).toBe('Pending');
    expect(trial.pass(1000).plan).toEqual([{ do: 'start', container: 'main' }]);
  });

  test('before anything runs, containers are creating; behind init containers they are initializing', () => {
    expect(new PodTrial().status.containerStatuses?.[0]?.state.waiting?.reason).toBe('ContainerCreating');
    const waiting = new PodTrial({ initContainers: [container('init')] }).status;
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
    const trial = new PodTrial({ restartPolicy }).settle().exit('main', code);
    expect(trial.phase).toBe(phase);
    expect(podOutcome(trial.state, trial.spec) !== undefined).toBe(phase !== 'Running');
    trial.settle();
    expect(trial.done.at(-1)).toBe(phase === 'Running' ? 'start main' : 'tearDown');
  });

  test('Failed when one of two failed, once both have ended', () => {
    const trial = new PodTrial({ restartPolicy: 'Never', containers: [container('a'), container('b')] }).settle().exit('a', 1);
    expect(trial.phase).toBe('Running');
    expect(trial.exit('b', 0).phase).toBe('Failed');
    expect(trial.condition('Ready')).toBe('False | PodFailed');
  });

  test('a pod that succeeded is completed, and keeps its address', () => {
    const trial = new PodTrial({ restartPolicy: 'Never' }).settle().exit('main', 0).settle();
    expect(trial.condition('Ready')).toBe('False | PodCompleted');
    expect(trial.condition('Initialized')).toBe('True | PodCompleted');
    expect(trial.status.podIP).toBe('10.244.0.5');
  });

  test('a signal is 128 + n', () => {
    const trial = new PodTrial({ restartPolicy: 'Never' }).settle().exit('main', 143, 15);
    expect(trial.status.containerStatuses?.[0]?.state.terminated).toMatchObject({ exitCode: 143, signal: 15, reason: 'Error' });
  });
});

describe('back-off', () => {
  test('the first restart is at once, the second after 2 s, then doubling to 30 s', () => {
    const trial = new PodTrial().settle();
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
    const trial = new PodTrial().settle().exit('main', 1).settle().exit('main', 3);
    const status = trial.status.containerStatuses?.[0];
    expect(status?.state).toEqual({ waiting: { reason: 'CrashLoopBackOff', message: 'back-off 2s restarting failed container=main pod=p_n(u)' } });
    expect(status?.lastState.terminated?.exitCode).toBe(3);
    expect(trial.phase).toBe('Running');
    expect(trial.condition('ContainersReady')).toBe('False | ContainersNotReady | containers with unready status: [main]');
  });

  test('a long clean run forgets it', () => {
    const trial = new PodTrial().settle().exit('main', 1).settle();
    trial.pass(61_000).exit('main', 1);
    expect(trial.wakeAt).toBeUndefined();
    expect(trial.plan).toEqual([{ do: 'start', container: 'main' }]);
  });

  test('a pod that is being deleted shows how it ended, not a back-off', () => {
    const trial = new PodTrial().settle().exit('main', 1).settle().exit('main', 1);
    trial.deleting = true;
    expect(trial.status.containerStatuses?.[0]?.state.terminated?.exitCode).toBe(1);
  });
});

describe('init containers', () => {
  const spec = { initContainers: [container('one'), container('two')] };

  test('run in order, each once, before the main container', () => {
    const trial = new PodTrial(spec).settle();
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
    const trial = new PodTrial(spec).settle().exit('one', 1).settle().exit('one', 1);
    expect(trial.phase).toBe('Pending');
    expect(trial.wakeAt).toBe(trial.now + 2_000);
    expect(trial.status.initContainerStatuses?.[0]?.state.waiting?.reason).toBe('CrashLoopBackOff');
  });

  test('with Never, a failed one fails the pod', () => {
    const trial = new PodTrial({ ...spec, restartPolicy: 'Never' }).settle().exit('one', 1);
    expect(trial.phase).toBe('Failed');
    expect(trial.settle().done.at(-1)).toBe('tearDown');
  });

  test('they do not run again when the main container restarts', () => {
    const trial = new PodTrial(spec).settle().exit('one', 0).settle().exit('two', 0).settle().exit('main', 1).settle();
    expect(trial.done.slice(-1)).toEqual(['start main']);
  });

  test('a sidecar starts in its turn, stays, and holds the next back until it has started', () => {
    const sidecar = container('side', { restartPolicy: 'Always', startupProbe: { exec: { command: ['true'] } } });
    const trial = new PodTrial({ initContainers: [sidecar, container('after')] }).settle();
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
    const trial = new PodTrial({ restartPolicy: 'Never', initContainers: [side('s1'), side('s2')] }).settle().exit('main', 0).settle();
    expect(trial.done.at(-1)).toBe('kill s2');
    trial.exit('s2', 143).settle();
    expect(trial.done.at(-1)).toBe('kill s1');
    trial.exit('s1', 143).settle();
    expect(trial.done.at(-1)).toBe('tearDown');
    expect(trial.phase).toBe('Succeeded');
  });
});

describe('deletion', () => {
  test('kills what runs, tears down when all has ended, then removes the object', () => {
    const trial = new PodTrial({ containers: [container('a'), container('b')] }).settle();
    trial.deleting = true;
    trial.settle();
    expect(trial.done.slice(-2)).toEqual(['kill a', 'kill b']);
    trial.exit('a', 0);
    expect(trial.plan).toEqual([]);
    trial.exit('b', 0).settle();
    expect(trial.done.slice(-2)).toEqual(['tearDown', 'remove']);
  });

  test('a pod that never started is removed without anything being started', () => {
    const trial = new PodTrial();
    trial.deleting = true;
    expect(trial.settle().done).toEqual(['remove']);
  });

  test('a crash-looping pod does not start again', () => {
    const trial = new PodTrial().settle().exit('main', 1).settle().exit('main', 1).pass(60_000);
    trial.deleting = true;
    expect(trial.settle().done.slice(-2)).toEqual(['tearDown', 'remove']);
  });
});

describe('activeDeadlineSeconds', () => {
  test('wakes up at the deadline and fails the pod', () => {
    const trial = new PodTrial({ activeDeadlineSeconds: 5 }).settle();
    expect(trial.wakeAt).toBe(1_005_000);
    trial.pass(5_000).settle();
    expect(trial.done.slice(-2)).toEqual(['end', 'kill main']);
    trial.exit('main', 143).settle();
    expect(trial.status).toMatchObject({ phase: 'Failed', reason: 'DeadlineExceeded' });
  });
});
