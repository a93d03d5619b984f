import type { ResourceType } from '../kube/index.ts';

/** Labels, annotations and API names, as NVIDIA's operator spells them (`internal/consts`, `internal/discovery`). */
export const label = {
  selector: 'nvidia.com/selector',
  graph: 'nvidia.com/dynamo-graph-deployment-name',
  component: 'nvidia.com/dynamo-component',
  namespace: 'nvidia.com/dynamo-namespace',
  componentType: 'nvidia.com/dynamo-component-type',
  subComponentType: 'nvidia.com/dynamo-sub-component-type',
  metricsEnabled: 'nvidia.com/metrics-enabled',
  discoveryBackend: 'nvidia.com/dynamo-discovery-backend',
  discoveryEnabled: 'nvidia.com/dynamo-discovery-enabled',
} as const;

export const annotation = {
  discoveryBackend: 'nvidia.com/dynamo-discovery-backend',
  enableMetrics: 'nvidia.com/enable-metrics',
  appliedHash: 'nvidia.com/last-applied-hash',
  deploymentStrategy: 'nvidia.com/deployment-strategy',
  maxSurge: 'nvidia.com/deployment-rolling-update-max-surge',
  maxUnavailable: 'nvidia.com/deployment-rolling-update-max-unavailable',
} as const;

export const dynamoApiVersion = 'nvidia.com/v1alpha1';
export const fieldManager = 'dynamo-operator';

export const resourceType = {
  graph: { group: 'nvidia.com', version: 'v1alpha1', plural: 'dynamographdeployments' },
  component: { group: 'nvidia.com', version: 'v1alpha1', plural: 'dynamocomponentdeployments' },
  deployment: { group: 'apps', version: 'v1', plural: 'deployments' },
  service: { group: '', version: 'v1', plural: 'services' },
  ingress: { group: 'networking.k8s.io', version: 'v1', plural: 'ingresses' },
  serviceAccount: { group: '', version: 'v1', plural: 'serviceaccounts' },
  role: { group: 'rbac.authorization.k8s.io', version: 'v1', plural: 'roles' },
  roleBinding: { group: 'rbac.authorization.k8s.io', version: 'v1', plural: 'rolebindings' },
  claim: { group: '', version: 'v1', plural: 'persistentvolumeclaims' },
  event: { group: '', version: 'v1', plural: 'events' },
  lease: { group: 'coordination.k8s.io', version: 'v1', plural: 'leases' },
} as const satisfies Record<string, ResourceType>;

/** Name of everything made for one service: `<graph>-<service in lower case>`. */
export function componentName(graph: string, service: string): string {
  return `${graph}-${service.toLowerCase()}`;
}

/** ServiceAccount under which the pods of a graph discover each other. */
export function discoveryServiceAccountName(graph: string): string {
  return `${graph}-k8s-service-discovery`;
}
