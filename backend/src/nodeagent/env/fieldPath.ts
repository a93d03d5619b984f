import type { Container, Pod, ResourceFieldSelector } from '../pods/pod.ts';
import { allContainers } from '../pods/pod.ts';
import { parseQuantity } from './quantity.ts';

/** A downward API reference that names nothing. */
export class FieldPathError extends Error {
  readonly code = 'FIELD_PATH_INVALID';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'FieldPathError';
  }
}

/** What the node adds to the pod's own fields. */
export interface NodeFacts {
  nodeName: string;
  hostIP: string;
  podIP: string;
  /** Stands in for limits that a container does not set. */
  allocatable: Record<string, string>;
}

function mapText(map: Record<string, string> | undefined): string {
  return Object.entries(map ?? {})
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join('\n');
}

/** The value of `fieldRef.fieldPath` for a pod (core/v1 downward API). */
export function podField(pod: Pod, path: string, facts: NodeFacts): string {
  const { metadata } = pod;
  const keyed = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(path);
  if (keyed !== null) return metadata[keyed[1] as 'labels' | 'annotations']?.[keyed[2]!] ?? '';
  const fields: Record<string, string | undefined> = {
    'metadata.name': metadata.name,
    'metadata.namespace': metadata.namespace,
    'metadata.uid': metadata.uid,
    'metadata.labels': mapText(metadata.labels),
    'metadata.annotations': mapText(metadata.annotations),
    'spec.nodeName': facts.nodeName,
    'spec.serviceAccountName': pod.spec.serviceAccountName ?? 'default',
    'status.hostIP': facts.hostIP,
    'status.hostIPs': facts.hostIP,
    'status.podIP': facts.podIP,
    'status.podIPs': facts.podIP,
  };
  const value = fields[path];
  if (value === undefined) throw new FieldPathError(`unsupported fieldPath: ${path}`);
  return value;
}

/** The value of a `resourceFieldRef`: limit or request in units of the divisor, rounded up. */
export function resourceField(pod: Pod, container: Container, selector: ResourceFieldSelector, facts: NodeFacts): string {
  const name = selector.containerName;
  const subject = name === undefined || name === '' ? container : allContainers(pod.spec).find((item) => item.name === name);
  if (subject === undefined) throw new FieldPathError(`couldn't find container ${name ?? ''}`);
  const [kind, ...rest] = selector.resource.split('.');
  const resource = rest.join('.');
  const { limits, requests } = subject.resources ?? {};
  const text = kind === 'limits' ? (limits?.[resource] ?? facts.allocatable[resource]) : kind === 'requests' ? (requests?.[resource] ?? '0') : undefined;
  const divisor = selector.divisor === undefined || selector.divisor === '0' ? 1 : parseQuantity(selector.divisor);
  const value = text === undefined ? undefined : parseQuantity(text);
  if (value === undefined || divisor === undefined || divisor === 0) throw new FieldPathError(`unsupported container resource: ${selector.resource}`);
  return String(Math.ceil(value / divisor));
}
