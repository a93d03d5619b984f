import type { KubeObject } from '../../kube/index.ts';
import { instanceIdOfPod } from '../instanceId.ts';
import type { Instance } from './discovery.ts';
import { decodeInstances, type InstanceRecord } from './instanceRecord.ts';

export interface EndpointSlice extends KubeObject {
  ports?: { name?: string; port?: number }[] | null;
  endpoints?: { conditions?: { ready?: boolean | null }; targetRef?: { kind?: string; name?: string } }[] | null;
}

export interface DynamoWorkerMetadata extends KubeObject {
  spec?: { data?: Partial<InstanceRecord> };
}

export interface JoinResult {
  instances: Instance[];
  /** Why pods that one side knows do not count; for the log. */
  problems: string[];
}

/** A pod counts iff it is ready in an EndpointSlice that has a port named `system`, and has a DynamoWorkerMetadata of its name. */
export function joinInstances(slices: Iterable<EndpointSlice>, metadata: Iterable<DynamoWorkerMetadata>): JoinResult {
  const problems: string[] = [];
  const ready = new Set<string>();
  for (const slice of slices) {
    if (!(slice.ports ?? []).some((port) => port.name === 'system')) {
      problems.push(`EndpointSlice '${slice.metadata.name}' did not have a system port defined`);
      continue;
    }
    for (const endpoint of slice.endpoints ?? []) {
      if (endpoint.conditions?.ready === true && endpoint.targetRef?.name !== undefined) ready.add(endpoint.targetRef.name);
    }
  }
  const instances: Instance[] = [];
  const described = new Set<string>();
  for (const object of metadata) {
    const pod = object.metadata.name;
    described.add(pod);
    if (!ready.has(pod)) {
      problems.push(`pod '${pod}' has a DynamoWorkerMetadata but is not ready in any EndpointSlice with a system port`);
      continue;
    }
    const own = instanceIdOfPod(pod);
    for (const instance of decodeInstances(object.spec?.data ?? {}, (key, why) => problems.push(`DynamoWorkerMetadata '${pod}' entry ${key}: ${why}`))) {
      if (instance.instanceId === own) instances.push({ ...instance, pod });
      else problems.push(`DynamoWorkerMetadata '${pod}' names instance ${instance.instanceId.toString(16)}, expected ${own.toString(16)}`);
    }
  }
  for (const pod of ready) if (!described.has(pod)) problems.push(`pod '${pod}' is ready but has no DynamoWorkerMetadata`);
  return { instances, problems };
}
