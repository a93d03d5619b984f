import type { EnvVar, ServiceSpec } from '../graphTypes.ts';
import type { OperatorOptions } from '../operatorOptions.ts';
import { componentKind } from './componentKind.ts';
import { dynamoNamespace } from './dynamoNamespace.ts';
import type { RuntimeProfile } from './runtimeProfile.ts';

export interface StandardEnvInput {
  graph: string;
  kubeNamespace: string;
  service: ServiceSpec;
  profile: RuntimeProfile;
  discoveryBackend: string;
  options: OperatorOptions;
}

function fromPod(name: string, fieldPath: string): EnvVar {
  return { name, valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath } } };
}

function whenSet(name: string, value: string | undefined): EnvVar[] {
  return value === undefined || value === '' ? [] : [{ name, value }];
}

/** The environment every Dynamo container gets. `POD_IP` is ours: a worker announces the address it is reached at. */
export function standardEnv({ graph, kubeNamespace, service, profile, discoveryBackend, options }: StandardEnvInput): EnvVar[] {
  const namespace = dynamoNamespace(kubeNamespace, graph, service);
  return [
    { name: 'DYN_NAMESPACE', value: namespace },
    { name: 'DYN_COMPONENT', value: service.componentType ?? 'default' },
    { name: 'DYN_PARENT_DGD_K8S_NAME', value: graph },
    { name: 'DYN_PARENT_DGD_K8S_NAMESPACE', value: kubeNamespace },
    { name: 'DYN_DISCOVERY_BACKEND', value: discoveryBackend },
    fromPod('POD_NAME', 'metadata.name'),
    fromPod('POD_NAMESPACE', 'metadata.namespace'),
    fromPod('POD_UID', 'metadata.uid'),
    fromPod('POD_IP', 'status.podIP'),
    ...(profile.nixlTelemetry && componentKind(service.componentType) === 'frontend' ? [{ name: 'DYN_NAMESPACE_PREFIX', value: namespace }] : []),
    ...whenSet('NATS_SERVER', options.natsAddress),
    ...whenSet('ETCD_ENDPOINTS', options.etcdAddress),
    ...whenSet('MODEL_EXPRESS_URL', options.modelExpressUrl),
    ...whenSet('PROMETHEUS_ENDPOINT', options.prometheusEndpoint),
  ];
}
