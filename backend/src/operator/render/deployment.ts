import type { KubeObject } from '../../kube/index.ts';
import type { Fragment } from '../graphTypes.ts';
import { annotation, dynamoApiVersion, label } from '../names.ts';
import { componentLabels, managedBy, type ComponentContext } from './componentContext.ts';
import { ownerReference } from './ownerReference.ts';
import { podTemplate } from './podTemplate.ts';

/** An annotation's integer as an integer: `"1"` and `"25%"` are both legal in a rolling update. */
function intOrPercent(text: string): number | string {
  return /^\d+$/.test(text) ? Number(text) : text;
}

function strategy(annotations: Record<string, string>): Fragment {
  if (annotations[annotation.deploymentStrategy] === 'Recreate') return { type: 'Recreate' };
  return {
    type: 'RollingUpdate',
    rollingUpdate: {
      maxSurge: intOrPercent(annotations[annotation.maxSurge] ?? '25%'),
      maxUnavailable: intOrPercent(annotations[annotation.maxUnavailable] ?? '25%'),
    },
  };
}

/** The Deployment of a component. */
export function deployment(context: ComponentContext): KubeObject {
  const { component, spec, name, namespace } = context;
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      name,
      namespace,
      labels: { ...managedBy, ...componentLabels(context), ...spec.labels },
      annotations: { ...spec.annotations },
      ownerReferences: [ownerReference(component, dynamoApiVersion, 'DynamoComponentDeployment')],
    },
    spec: {
      replicas: spec.replicas ?? 1,
      selector: { matchLabels: { [label.selector]: name } },
      strategy: strategy({ ...component.metadata.annotations, ...spec.annotations }),
      template: podTemplate(context),
    },
  };
}
