import { addressPlan } from '../addressPlan.ts';
import { usableEndpoints, type EndpointSlice, type Service } from './serviceObjects.ts';

export interface SrvRecord {
  target: string;
  port: number;
}

/** What one name has. */
export interface ZoneName {
  a: string[];
  srv: SrvRecord[];
  cname?: string;
  ptr: string[];
}

const services = `svc.${addressPlan.clusterDomain}`;

/**
 * Every name of the cluster, as the Kubernetes DNS specification (1.1.0) lays them out: Services, endpoints of headless
 * Services, SRV for named ports, PTR for all addresses. Names are in lower case and without the final dot.
 */
export function clusterZone(allServices: readonly Service[], slices: ReadonlyMap<string, readonly EndpointSlice[]>): Map<string, ZoneName> {
  const zone = new Map<string, ZoneName>();
  const at = (name: string): ZoneName => {
    let found = zone.get(name);
    if (found === undefined) zone.set(name, (found = { a: [], srv: [], ptr: [] }));
    return found;
  };
  for (const service of allServices) {
    const { namespace, name } = service.metadata;
    const { spec } = service;
    const full = `${name}.${namespace}.${services}`;
    if (spec.type === 'ExternalName') {
      at(full).cname = (spec.externalName ?? '').replace(/\.$/, '').toLowerCase();
      continue;
    }
    const clusterIPs = (spec.clusterIPs ?? [spec.clusterIP ?? '']).filter((ip) => /^\d+\.\d+\.\d+\.\d+$/.test(ip));
    at(full).a.push(...clusterIPs);
    for (const ip of clusterIPs) at(reverseName(ip)).ptr.push(full);
    if (clusterIPs.length > 0) {
      for (const port of spec.ports ?? []) {
        if (port.name !== undefined) at(srvName(port.name, port.protocol, full)).srv.push({ target: full, port: port.port });
      }
    }
    addEndpoints(at, full, slices.get(`${namespace}/${name}`) ?? [], clusterIPs.length === 0);
  }
  return zone;
}

function addEndpoints(at: (name: string) => ZoneName, full: string, slices: readonly EndpointSlice[], headless: boolean): void {
  for (const slice of slices) {
    for (const endpoint of usableEndpoints(slice.endpoints ?? [])) {
      const ip = endpoint.addresses[0];
      if (ip === undefined) continue;
      const own = `${endpoint.hostname ?? ip.replaceAll('.', '-')}.${full}`;
      push(at(reverseName(ip)).ptr, own);
      if (!headless) continue;
      push(at(full).a, ip);
      push(at(own).a, ip);
      for (const port of slice.ports ?? []) {
        if (!port.name || !port.port) continue;
        at(srvName(port.name, port.protocol ?? 'TCP', full)).srv.push({ target: own, port: port.port });
      }
    }
  }
}

function push(list: string[], value: string): void {
  if (!list.includes(value)) list.push(value);
}

function srvName(port: string, protocol: string | undefined, service: string): string {
  return `_${port}._${(protocol ?? 'TCP').toLowerCase()}.${service}`;
}

/** `7.1.244.10.in-addr.arpa` for 10.244.1.7. */
export function reverseName(ip: string): string {
  return `${ip.split('.').toReversed().join('.')}.in-addr.arpa`;
}
