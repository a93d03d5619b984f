import type { ComponentStatus, Deployment, DynamoComponentDeployment } from '../graphTypes.ts';
import { label } from '../names.ts';
import { withCondition } from './conditions.ts';

/** Why a Deployment is not complete; undefined when it is: newest generation seen, all pods updated and available. */
export function deploymentShortfall(deployment: Deployment): string | undefined {
  const { status, spec, metadata } = deployment;
  const wanted = spec.replicas ?? 1;
  if ((status?.observedGeneration ?? 0) < (metadata.generation ?? 0)) return 'waiting for the Deployment controller';
  const updated = status?.updatedReplicas ?? 0;
  const available = status?.availableReplicas ?? 0;
  const total = status?.replicas ?? 0;
  const trouble = status?.conditions?.find(
    (item) => (item.type === 'ReplicaFailure' && item.status === 'True') || (item.type === 'Progressing' && item.status === 'False'),
  )?.message;
  const because = trouble === undefined ? '' : `: ${trouble}`;
  if (updated < wanted) return `${updated}/${wanted} replicas updated${because}`;
  if (available < wanted) return `${available}/${wanted} replicas available${because}`;
  if (total > wanted) return `${total - wanted} old replicas are terminating`;
  return undefined;
}

/** The status of a component from its Deployment. */
export function componentStatus(component: DynamoComponentDeployment, deployment: Deployment, now: string): ComponentStatus {
  const shortfall = deploymentShortfall(deployment);
  const observedGeneration = component.metadata.generation ?? 0;
  const conditions = withCondition(
    component.status?.conditions,
    {
      type: 'Available',
      status: shortfall === undefined ? 'True' : 'False',
      reason: shortfall === undefined ? 'DeploymentReady' : 'DeploymentNotReady',
      message: shortfall === undefined ? 'Deployment is ready' : `Deployment is not ready: ${shortfall}`,
      observedGeneration,
    },
    now,
  );
  return {
    observedGeneration,
    podSelector: { [label.selector]: deployment.metadata.name },
    conditions: withCondition(
      conditions,
      {
        type: 'DynamoComponentReady',
        status: shortfall === undefined ? 'True' : 'False',
        reason: shortfall === undefined ? 'ComponentReady' : 'ComponentNotReady',
        message: shortfall === undefined ? 'Component is ready' : `Component is not ready: ${shortfall}`,
        observedGeneration,
      },
      now,
    ),
    service: {
      componentKind: 'Deployment',
      componentName: deployment.metadata.name,
      replicas: deployment.status?.replicas ?? 0,
      updatedReplicas: deployment.status?.updatedReplicas ?? 0,
      readyReplicas: deployment.status?.readyReplicas ?? 0,
      availableReplicas: deployment.status?.availableReplicas ?? 0,
    },
  };
}
