import type { ServiceSpec } from '../graphTypes.ts';
import type { RuntimeProfile } from './runtimeProfile.ts';

export const globalDynamoNamespace = 'dynamo';

/** `DYN_NAMESPACE`: the namespace in which the components of a graph find each other. */
export function dynamoNamespace(kubeNamespace: string, graph: string, service: ServiceSpec): string {
  return service.globalDynamoNamespace === true ? globalDynamoNamespace : `${kubeNamespace}-${graph}`;
}

/** The label `nvidia.com/dynamo-namespace`: what runtimes before 0.8 read from the manifest, else `DYN_NAMESPACE`. */
export function dynamoNamespaceLabel(kubeNamespace: string, graph: string, service: ServiceSpec, profile: RuntimeProfile): string {
  if (profile.usesDynamoNamespaceField && service.globalDynamoNamespace !== true && service.dynamoNamespace !== undefined) return service.dynamoNamespace;
  return dynamoNamespace(kubeNamespace, graph, service);
}
