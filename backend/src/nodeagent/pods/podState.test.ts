import { describe, expect, test } from 'vitest';
import { container, PodTrial } from './podTrial.ts';

describe('probes', () => {
  const probe = { exec: { command: ['true'] } };

  test('readiness decides about ready, both ways', () => {
    const trial = new PodTrial({ containers: [container('main', { readinessProbe: probe })] }).settle();
    expect(trial.of('main').ready).toBe(false);
    expect(trial.apply({ type: 'probed', container: 'main', probe: 'readiness', ok: true }).of('main').ready).toBe(true);
    expect(trial.apply({ type: 'probed', container: 'main', probe: 'readiness', ok: false }).of('main').ready).toBe(false);
  });

  test('startup gates ready', () => {
    const trial = new PodTrial({ containers: [container('main', { startupProbe: probe })] }).settle();
    expect(trial.of('main')).toMatchObject({ started: false, ready: false });
    expect(trial.apply({ type: 'probed', container: 'main', probe: 'startup', ok: true }).of('main')).toMatchObject({ started: true, ready: true });
  });

  test.each(['liveness', 'startup'] as const)('a failed %s probe ends the run once, with the kubelet text', (kind) => {
    const trial = new PodTrial({ containers: [container('main', { [`${kind}Probe`]: probe })] }).settle();
    trial.apply({ type: 'probed', container: 'main', probe: kind, ok: false });
    expect(trial.plan).toEqual([{ do: 'kill', container: 'main', why: kind, message: `Container main failed ${kind} probe, will be restarted` }]);
    trial.settle();
    expect(trial.plan).toEqual([]);
    trial.exit('main', 137).settle();
    expect(trial.done.at(-1)).toBe('start main');
    expect(trial.of('main').failedProbe).toBeUndefined();
  });

  test('with Never nothing is promised to be restarted', () => {
    const trial = new PodTrial({ restartPolicy: 'Never', containers: [container('main', { livenessProbe: probe })] }).settle();
    trial.apply({ type: 'probed', container: 'main', probe: 'liveness', ok: false });
    expect(trial.plan).toMatchObject([{ message: 'Container main failed liveness probe' }]);
  });

  test('a result that comes after the run has ended changes nothing', () => {
    const trial = new PodTrial({ containers: [container('main', { livenessProbe: probe })] }).settle().exit('main', 1);
    const before = trial.state;
    expect(trial.apply({ type: 'probed', container: 'main', probe: 'liveness', ok: false }).state).toEqual(before);
  });

  test('readiness gates: all of their conditions have to be there and True', () => {
    const trial = new PodTrial({ readinessGates: [{ conditionType: 'example.com/gate' }] }).settle();
    expect(trial.condition('ContainersReady')).toBe('True');
    expect(trial.condition('Ready')).toBe('False | ReadinessGatesNotReady | corresponding condition of pod readiness gate "example.com/gate" does not exist.');
  });
});

describe('after the node lost everything', () => {
  test('running containers count as ended with 137 and start again in a new sandbox, init containers first', () => {
    const trial = new PodTrial({ initContainers: [container('init')] }).settle().exit('init', 0).settle();
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
    const trial = new PodTrial({ restartPolicy: 'Never' }).settle().apply({ type: 'sandboxLost' });
    expect(trial.phase).toBe('Failed');
    expect(trial.settle().done.filter((action) => action === 'start main')).toHaveLength(1);
  });

  test('a finished init container of a Never pod stays finished', () => {
    const trial = new PodTrial({ restartPolicy: 'Never', initContainers: [container('init')] }).settle().exit('init', 3);
    trial.apply({ type: 'sandboxLost' });
    expect(trial.phase).toBe('Failed');
  });
});
