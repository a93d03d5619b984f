import type { DynamoComponentDeployment, ServiceSpec } from '../graphTypes.ts';
import { annotation, label } from '../names.ts';
import type { OperatorOptions } from '../operatorOptions.ts';
import { dynamoNamespaceLabel } from './dynamoNamespace.ts';
import { runtimeProfile, type RuntimeProfile } from './runtimeProfile.ts';

/** Everything the renderers of one component's children need to know about it. */
export interface ComponentContext {
  component: DynamoComponentDeployment;
  spec: ServiceSpec;
  graph: string;
  /** The service's key in the graph, in its own case. */
  service: string;
  /** Name of the Deployment and the Service. */
  name: string;
  namespace: string;
  profile: RuntimeProfile;
  discoveryBackend: string;
  options: OperatorOptions;
}

export function componentContext(component: DynamoComponentDeployment, options: OperatorOptions): ComponentContext {
  const { spec, metadata } = component;
  const service = spec.serviceName ?? metadata.labels?.[label.component] ?? metadata.name;
  return {
    component,
    spec,
    graph: metadata.labels?.[label.graph] ?? metadata.name,
    service,
    name: metadata.name,
    namespace: metadata.namespace ?? 'default',
    profile: runtimeProfile(spec.extraPodSpec?.mainContainer?.image),
    discoveryBackend: metadata.annotations?.[annotation.discoveryBackend] ?? options.discoveryBackend,
    options,
  };
}

/** Labels of the Deployment, the Service's selector and (with the user's own) the pods. */
export function componentLabels({ graph, service, name, namespace, spec, profile }: ComponentContext): Record<string, string> {
  return {
    [label.selector]: name,
    [label.graph]: graph,
    [label.component]: service,
    [label.namespace]: dynamoNamespaceLabel(namespace, graph, spec, profile),
    [label.componentType]: spec.componentType ?? 'default',
    ...(spec.subComponentType === undefined ? {} : { [label.subComponentType]: spec.subComponentType }),
  };
}

/** `app.kubernetes.io/managed-by` of what the operator makes, so that people can find it. */
export const managedBy = { 'app.kubernetes.io/managed-by': 'dynamo-operator' };
