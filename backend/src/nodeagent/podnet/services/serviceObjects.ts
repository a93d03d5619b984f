import type { KubeObject, ObjectMeta, ResourceType } from '../../../kube/index.ts';

export const servicesType: ResourceType = { group: '', version: 'v1', plural: 'services' };
export const endpointSlicesType: ResourceType = { group: 'discovery.k8s.io', version: 'v1', plural: 'endpointslices' };

export interface ServicePort {
  name?: string;
  protocol?: string;
  port: number;
  nodePort?: number;
}

/** The parts of a v1 Service that proxy and DNS read. */
export interface Service extends KubeObject {
  metadata: ObjectMeta & { namespace: string };
  spec: {
    type?: string;
    clusterIP?: string;
    clusterIPs?: string[];
    externalName?: string;
    ports?: ServicePort[];
    sessionAffinity?: string;
    sessionAffinityConfig?: { clientIP?: { timeoutSeconds?: number } };
  };
}

export interface SliceEndpoint {
  addresses: string[];
  hostname?: string;
  conditions?: { ready?: boolean | null; serving?: boolean | null; terminating?: boolean | null };
}

/** The parts of a discovery.k8s.io/v1 EndpointSlice that proxy and DNS read. */
export interface EndpointSlice extends KubeObject {
  metadata: ObjectMeta & { namespace: string };
  addressType: string;
  endpoints?: SliceEndpoint[] | null;
  ports?: { name?: string | null; protocol?: string | null; port?: number | null }[] | null;
}

/** `namespace/name` of the Service that a slice belongs to. */
export function serviceOf(slice: EndpointSlice): string | undefined {
  const name = slice.metadata.labels?.['kubernetes.io/service-name'];
  return name === undefined ? undefined : `${slice.metadata.namespace}/${name}`;
}

/**
 * The endpoints that traffic may go to, as kube-proxy decides: the ready ones, or, if a Service has none at all, those that
 * still serve while they end.
 */
export function usableEndpoints(endpoints: readonly SliceEndpoint[]): SliceEndpoint[] {
  const ready = endpoints.filter((endpoint) => endpoint.conditions?.ready !== false);
  if (ready.length > 0) return ready;
  return endpoints.filter(({ conditions }) => conditions?.serving === true && conditions.terminating === true);
}
