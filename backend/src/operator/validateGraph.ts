import type { DynamoGraphDeployment } from './graphTypes.ts';
import { componentName } from './names.ts';
import { runtimeProfile } from './render/runtimeProfile.ts';

/** Longest name of a Service and of a label value. */
const longestName = 63;

/**
 * The rules that the schema cannot state, and those it states, once more: a graph may be older than the schema. Texts are
 * those of NVIDIA's operator where it has the rule.
 */
export function validateGraph(graph: DynamoGraphDeployment): string[] {
  const services = Object.entries(graph.spec.services ?? {});
  const errors: string[] = [];
  if (services.length === 0) errors.push('spec.services must have at least one service');
  const seen = new Map<string, string>();
  let agreed: string | undefined;
  for (const [key, service] of services) {
    const at = `spec.services[${key}]`;
    const name = componentName(graph.metadata.name, key);
    if (!/^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$/.test(key)) errors.push(`${at}: name must consist of letters, digits and '-'`);
    if (!/^[a-z]/.test(name) || graph.metadata.name.includes('.'))
      errors.push(`${at}: "${name}" is not a DNS-1035 label, which the name of its Service must be`);
    if (name.length > longestName) {
      errors.push(
        `${at}: combined resource name length ${name.length} exceeds ${longestName}-character limit required for Service naming. Consider shortening the graph or service name`,
      );
    }
    const other = seen.get(name);
    if (other !== undefined) errors.push(`${at}: has the same name as spec.services[${other}] in lower case`);
    seen.set(name, key);
    if ((service.replicas ?? 0) < 0) errors.push(`${at}.replicas must be non-negative`);
    if (service.ingress?.enabled === true && service.ingress.host === undefined) errors.push(`${at}.ingress.host is required when ingress is enabled`);
    if (service.sharedMemory !== undefined && service.sharedMemory.disabled !== true && service.sharedMemory.size === undefined) {
      errors.push(`${at}.sharedMemory.size is required when disabled is false`);
    }
    for (const [index, mount] of (service.volumeMounts ?? []).entries()) {
      if (mount.mountPoint === undefined && mount.useAsCompilationCache !== true) {
        errors.push(`${at}.volumeMounts[${index}].mountPoint is required when useAsCompilationCache is false`);
      }
    }
    if (
      runtimeProfile(service.extraPodSpec?.mainContainer?.image).usesDynamoNamespaceField &&
      service.globalDynamoNamespace !== true &&
      service.dynamoNamespace !== undefined
    ) {
      if (agreed !== undefined && agreed !== service.dynamoNamespace) {
        errors.push(`namespace mismatch for component ${key}: graph uses namespace ${agreed} but component specifies ${service.dynamoNamespace}`);
      }
      agreed ??= service.dynamoNamespace;
    }
  }
  for (const [index, pvc] of (graph.spec.pvcs ?? []).entries()) {
    if (pvc.create !== true) continue;
    for (const field of ['storageClass', 'size', 'volumeAccessMode'] as const) {
      if (pvc[field] === undefined) errors.push(`spec.pvcs[${index}].${field} is required when create is true`);
    }
  }
  return errors;
}

/** What the graph says and nothing obeys. */
export function graphWarnings(graph: DynamoGraphDeployment): string[] {
  const namespace = `${graph.metadata.namespace ?? 'default'}-${graph.metadata.name}`;
  return Object.entries(graph.spec.services ?? {}).flatMap(([key, service]) => [
    ...(service.dynamoNamespace === undefined || service.dynamoNamespace === namespace
      ? []
      : [
          `spec.services[${key}].dynamoNamespace is deprecated and ignored. Value '${service.dynamoNamespace}' will be replaced with '${namespace}'. Remove this field from your configuration`,
        ]),
    ...(service.autoscaling === undefined
      ? []
      : [
          `spec.services[${key}].autoscaling is deprecated and ignored. Use DynamoGraphDeploymentScalingAdapter with HPA, KEDA, or Planner for autoscaling instead`,
        ]),
  ]);
}
