import { usableEndpoints, type EndpointSlice, type Service } from './serviceObjects.ts';

export interface Target {
  ip: string;
  port: number;
}

/** One TCP port of a Service with everything that is needed to serve it. */
export interface ServiceEntry {
  /** `namespace/name:port`, the port by its name or else its number. */
  key: string;
  namespace: string;
  name: string;
  uid: string | undefined;
  /** Empty for a headless Service without NodePort. */
  clusterIPs: string[];
  port: number;
  nodePort: number | undefined;
  targets: Target[];
  /** Seconds for which a client stays with its endpoint; undefined without `sessionAffinity: ClientIP`. */
  affinitySeconds: number | undefined;
}

/** What the proxy has to serve, from the objects alone. Non-TCP ports, headless and ExternalName Services have no entry. */
export function serviceTable(services: readonly Service[], slices: ReadonlyMap<string, readonly EndpointSlice[]>): Map<string, ServiceEntry> {
  const table = new Map<string, ServiceEntry>();
  for (const service of services) {
    const { namespace, name, uid } = service.metadata;
    const { spec } = service;
    if (spec.type === 'ExternalName') continue;
    const clusterIPs = (spec.clusterIPs ?? [spec.clusterIP ?? '']).filter((ip) => /^\d+\.\d+\.\d+\.\d+$/.test(ip));
    const own = slices.get(`${namespace}/${name}`) ?? [];
    for (const port of spec.ports ?? []) {
      if ((port.protocol ?? 'TCP') !== 'TCP') continue;
      if (clusterIPs.length === 0 && port.nodePort === undefined) continue;
      const key = `${namespace}/${name}:${port.name ?? port.port}`;
      table.set(key, {
        key,
        namespace,
        name,
        uid,
        clusterIPs,
        port: port.port,
        nodePort: port.nodePort,
        targets: targetsOf(own, port.name ?? ''),
        affinitySeconds: spec.sessionAffinity === 'ClientIP' ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800) : undefined,
      });
    }
  }
  return table;
}

function targetsOf(slices: readonly EndpointSlice[], portName: string): Target[] {
  const candidates = slices.flatMap((slice) => {
    const port = (slice.ports ?? []).find((each) => (each.name ?? '') === portName && (each.protocol ?? 'TCP') === 'TCP')?.port;
    return port === undefined || port === null ? [] : (slice.endpoints ?? []).map((endpoint) => ({ ...endpoint, port }));
  });
  const usable = new Set(usableEndpoints(candidates));
  const targets = new Map<string, Target>();
  for (const candidate of candidates) {
    const ip = candidate.addresses[0];
    // While a pod moves from one slice to another it may be in both.
    if (usable.has(candidate) && ip !== undefined) targets.set(`${ip}:${candidate.port}`, { ip, port: candidate.port });
  }
  return [...targets.values()];
}
