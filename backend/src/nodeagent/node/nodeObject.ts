import { readFileSync } from 'node:fs';
import os from 'node:os';
import type { KubeObject } from '../../kube/index.ts';
import { rfc3339 } from '../pods/podConditions.ts';

export const nodesType = { group: '', version: 'v1', plural: 'nodes' };
export const kubeletPort = 10250;
export const podNetLabel = 'dynamo-labs.dev/podnet';

export interface NodeDescription {
  name: string;
  /** InternalIP. */
  address: string;
  capacity: Record<string, string>;
  podNet: string;
  kubeletVersion: string;
  bootId: string;
}

const arch: Record<string, string> = { x64: 'amd64', arm64: 'arm64' };

/** The Node as the agent registers it; its status is written separately. */
export function nodeObject(node: NodeDescription): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: node.name,
      labels: {
        'kubernetes.io/hostname': node.name,
        'kubernetes.io/os': 'linux',
        'kubernetes.io/arch': arch[process.arch] ?? process.arch,
        'node.kubernetes.io/instance-type': 'dynamo-labs.virtual',
        [podNetLabel]: node.podNet,
      },
      annotations: { 'volumes.kubernetes.io/controller-managed-attach-detach': 'true' },
    },
  };
}

interface NodeCondition {
  type: string;
  status: string;
  reason: string;
  message: string;
  lastHeartbeatTime: string;
  lastTransitionTime: string;
}

/** The Node's status. `transitions`: when each condition last changed. */
export function nodeStatus(node: NodeDescription, now: number, transitions: Map<string, string>, ready = true): Record<string, unknown> {
  const condition = (type: string, status: string, reason: string, message: string): NodeCondition => {
    const key = `${type}=${status}`;
    for (const other of [...transitions.keys()]) if (other.startsWith(`${type}=`) && other !== key) transitions.delete(other);
    if (!transitions.has(key)) transitions.set(key, rfc3339(now));
    return { type, status, reason, message, lastHeartbeatTime: rfc3339(now), lastTransitionTime: transitions.get(key)! };
  };
  return {
    capacity: node.capacity,
    allocatable: node.capacity,
    conditions: [
      condition('MemoryPressure', 'False', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'),
      condition('DiskPressure', 'False', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
      condition('PIDPressure', 'False', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'),
      ready
        ? condition('Ready', 'True', 'KubeletReady', 'kubelet is posting ready status')
        : condition('Ready', 'False', 'NodeShutdown', 'the node agent is stopping'),
    ],
    addresses: [
      { type: 'InternalIP', address: node.address },
      { type: 'Hostname', address: node.name },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: kubeletPort } },
    nodeInfo: {
      machineID: machineId(),
      systemUUID: machineId(),
      bootID: node.bootId,
      kernelVersion: os.release(),
      osImage: osImage(),
      containerRuntimeVersion: `dynamo-labs://${process.versions.node}`,
      kubeletVersion: node.kubeletVersion,
      // Required by the API; kube-proxy does not exist here and newer kubelets leave it empty.
      kubeProxyVersion: '',
      operatingSystem: 'linux',
      architecture: arch[process.arch] ?? process.arch,
    },
  };
}

function firstLine(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim().split('\n')[0];
  } catch {
    return undefined;
  }
}

function machineId(): string {
  return firstLine('/etc/machine-id') || os.hostname();
}

function osImage(): string {
  try {
    return /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? os.type();
  } catch {
    return os.type();
  }
}

export function bootId(): string {
  return firstLine('/proc/sys/kernel/random/boot_id') ?? '';
}
