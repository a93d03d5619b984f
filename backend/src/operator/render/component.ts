import type { DynamoComponentDeployment, DynamoGraphDeployment, ServiceSpec } from '../graphTypes.ts';
import { annotation, componentName, dynamoApiVersion, label } from '../names.ts';
import { backendFramework } from './backendFramework.ts';
import { managedBy } from './componentContext.ts';
import { mergeEnv } from './mergeEnv.ts';
import { ownerReference } from './ownerReference.ts';
import { RenderError } from './renderError.ts';

/** Annotations of the graph that its components obey as well. */
const inherited = [annotation.discoveryBackend, annotation.enableMetrics, annotation.deploymentStrategy, annotation.maxSurge, annotation.maxUnavailable];

/** The component of one service: the service's spec with the graph's environment under its own. */
export function component(graph: DynamoGraphDeployment, service: string, spec: ServiceSpec): DynamoComponentDeployment {
  if (spec.multinode !== undefined) throw new RenderError('no multinode orchestrator available');
  const { metadata } = graph;
  const backend = backendFramework(spec, graph.spec.backendFramework);
  const annotations = Object.fromEntries(inherited.flatMap((name) => (metadata.annotations?.[name] === undefined ? [] : [[name, metadata.annotations[name]]])));
  return {
    apiVersion: dynamoApiVersion,
    kind: 'DynamoComponentDeployment',
    metadata: {
      name: componentName(metadata.name, service),
      ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
      labels: { ...managedBy, [label.graph]: metadata.name, [label.component]: service },
      annotations,
      ownerReferences: [ownerReference(graph, dynamoApiVersion, 'DynamoGraphDeployment')],
    },
    spec: {
      ...spec,
      serviceName: service,
      ...(graph.spec.envs === undefined ? {} : { envs: mergeEnv(graph.spec.envs, spec.envs) }),
      ...(backend === undefined ? {} : { backendFramework: backend }),
    },
  };
}
