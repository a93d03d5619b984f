import { describe, expect, test } from 'vitest';
import { container, PodTrial } from './podTrial.ts';
import { podStatus } from './podStatus.ts';

describe('status', () => {
  test('keeps the transition time of a condition that does not change', () => {
    const trial = new PodTrial().settle();
    const first = trial.status.conditions!;
    trial.pass(10_000);
    const again = podStatus(trial.pod, trial.state, { now: trial.now, hostIP: '10.240.0.1', imageId: String, previous: first });
    expect(again.conditions).toEqual(first);
  });

  test('names host, pod and images', () => {
    expect(new PodTrial().settle().status).toMatchObject({
      hostIP: '10.240.0.1',
      hostIPs: [{ ip: '10.240.0.1' }],
      podIP: '10.244.0.5',
      podIPs: [{ ip: '10.244.0.5' }],
      startTime: '1970-01-01T00:16:40Z',
      containerStatuses: [{ name: 'main', image: 'busybox', imageID: 'id-of-busybox', containerID: 'id://main', ready: true, started: true, restartCount: 0 }],
    });
  });

  test('no event changes a state in place', () => {
    const trial = new PodTrial({ initContainers: [container('init')] }).settle();
    const frozen = JSON.stringify(trial.state);
    const { state } = trial;
    trial.exit('init', 0).settle().exit('main', 1).settle();
    expect(JSON.stringify(state)).toBe(frozen);
  });
});
