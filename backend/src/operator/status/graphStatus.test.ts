import { describe, expect, it } from 'vitest';
import type { Deployment, DynamoComponentDeployment, DynamoGraphDeployment } from '../graphTypes.ts';
import { componentStatus, deploymentShortfall } from './componentStatus.ts';
import { failedGraphStatus, graphStatus, invalidGraphStatus } from './graphStatus.ts';

const at = '2026-01-01T00:00:00.000Z';
const later = '2026-01-01T00:01:00.000Z';
const graph: DynamoGraphDeployment = { metadata: { name: 'g', generation: 3 }, spec: {} };
const component = (status?: DynamoComponentDeployment['status']): DynamoComponentDeployment => ({
  metadata: { name: 'g-worker', generation: 2 },
  spec: {},
  ...(status === undefined ? {} : { status }),
});
const deployment = (available: number, extra: Partial<NonNullable<Deployment['status']>> = {}): Deployment => ({
  metadata: { name: 'g-worker', generation: 5 },
  spec: { replicas: 2 },
  status: { observedGeneration: 5, replicas: 2, updatedReplicas: 2, readyReplicas: available, availableReplicas: available, ...extra },
});

describe('componentStatus', () => {
  it('is available when all pods are', () => {
    expect(componentStatus(component(), deployment(2), at)).toMatchObject({
      observedGeneration: 2,
      podSelector: { 'nvidia.com/selector': 'g-worker' },
      conditions: [
        { type: 'Available', status: 'True', reason: 'DeploymentReady', lastTransitionTime: at },
        { type: 'DynamoComponentReady', status: 'True' },
      ],
      service: { componentKind: 'Deployment', componentName: 'g-worker', replicas: 2, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 2 },
    });
  });

  it.each([
    ['1/2 replicas available', deployment(1)],
    ['waiting for the Deployment controller', deployment(2, { observedGeneration: 4 })],
    ['1/2 replicas updated', deployment(2, { updatedReplicas: 1 })],
    ['1 old replicas are terminating', deployment(2, { replicas: 3 })],
    ['0/2 replicas available: quota exceeded', deployment(0, { conditions: [{ type: 'ReplicaFailure', status: 'True', message: 'quota exceeded' }] })],
  ])('says why not: %s', (reason, current) => {
    expect(deploymentShortfall(current)).toBe(reason);
  });

  it('moves the transition time only with the status', () => {
    const first = componentStatus(component(), deployment(1), at);
    const second = componentStatus(component(first), deployment(0), later);
    const third = componentStatus(component(second), deployment(2), later);
    expect(second.conditions?.map((condition) => condition.lastTransitionTime)).toEqual([at, at]);
    expect(third.conditions?.map((condition) => condition.lastTransitionTime)).toEqual([later, later]);
  });
});

describe('graphStatus', () => {
  const ready = componentStatus(component(), deployment(2), at);

  it('is successful when every component is available', () => {
    expect(graphStatus(graph, new Map([['Worker', component(ready)]]), at)).toEqual({
      state: 'successful',
      observedGeneration: 3,
      conditions: [
        { type: 'Ready', status: 'True', reason: 'all_resources_are_ready', message: 'All resources are ready', observedGeneration: 3, lastTransitionTime: at },
      ],
      services: { Worker: ready.service },
    });
  });

  it('is initializing before a component was seen, then pending', () => {
    expect(graphStatus(graph, new Map([['Worker', component()]]), at).state).toBe('initializing');
    const pending = graphStatus(graph, new Map([['Worker', component(componentStatus(component(), deployment(1), at))]]), at);
    expect(pending.state).toBe('pending');
    expect(pending.conditions?.[0]).toMatchObject({
      status: 'False',
      reason: 'some_resources_are_not_ready',
      message: 'Resources not ready: g-worker: Component deployment not ready - Available condition not true (Deployment is not ready: 1/2 replicas available)',
    });
  });

  it('does not believe a status of an older generation', () => {
    expect(graphStatus(graph, new Map([['Worker', component({ ...ready, observedGeneration: 1 })]]), at).state).toBe('pending');
  });

  it('fails with the reason', () => {
    expect(invalidGraphStatus(graph, ['a', 'b'], at)).toMatchObject({
      state: 'failed',
      conditions: [{ reason: 'ValidationFailed', message: 'Validation failed: a; b' }],
    });
    expect(failedGraphStatus(graph, 'boom', at)).toMatchObject({
      state: 'failed',
      conditions: [{ reason: 'failed_to_reconcile_the_resources', message: 'boom' }],
    });
  });
});
