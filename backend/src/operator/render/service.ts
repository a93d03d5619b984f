import type { KubeObject } from '../../kube/index.ts';
import { dynamoApiVersion, label } from '../names.ts';
import { componentKind, frontendPort, systemPort } from './componentKind.ts';
import { componentLabels, managedBy, type ComponentContext } from './componentContext.ts';
import { ownerReference } from './ownerReference.ts';

/**
 * The Service of a component, or undefined where it has none: frontends always, workers where discovery reads
 * EndpointSlices. Kubernetes mirrors the discovery labels onto the slices; a worker counts by its port named `system`.
 */
export function service(context: ComponentContext): KubeObject | undefined {
  const { component, spec, name, namespace, discoveryBackend } = context;
  const kind = componentKind(spec.componentType);
  const discovered = discoveryBackend === 'kubernetes';
  if (kind === 'other' || (kind === 'worker' && !discovered)) return undefined;
  const labels = componentLabels(context);
  const port = kind === 'frontend' ? { name: 'http', port: frontendPort, targetPort: 'http' } : { name: 'system', port: systemPort, targetPort: 'system' };
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name,
      namespace,
      labels: {
        ...managedBy,
        ...labels,
        ...(discovered ? { [label.discoveryBackend]: 'kubernetes', [label.discoveryEnabled]: 'true' } : {}),
        ...spec.labels,
      },
      annotations: { ...spec.annotations },
      ownerReferences: [ownerReference(component, dynamoApiVersion, 'DynamoComponentDeployment')],
    },
    spec: {
      type: 'ClusterIP',
      selector: {
        [label.componentType]: labels[label.componentType],
        [label.namespace]: labels[label.namespace],
        [label.component]: labels[label.component],
        [label.graph]: labels[label.graph],
      },
      ports: [{ ...port, protocol: 'TCP' }],
    },
  };
}
