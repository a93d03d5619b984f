import type { KubeObject } from '../../kube/index.ts';

/** The parts of core/v1 Service that pods learn through their environment. */
export interface Service extends KubeObject {
  spec: { clusterIP?: string; ports?: { name?: string; port: number; protocol?: string }[] };
}

/**
 * The variables a pod gets for Services (kubelet `envvars.FromServices`): always those of `kubernetes` in `default`, and with
 * service links those of its own namespace. Headless Services have none.
 */
export function serviceLinks(services: Iterable<Service>, namespace: string, enabled: boolean): Record<string, string> {
  const env: Record<string, string> = {};
  const visible = new Map<string, Service>();
  for (const service of services) {
    const { name, namespace: home } = service.metadata;
    if (!hasAddress(service)) continue;
    const master = home === 'default' && name === 'kubernetes';
    if (master ? !visible.has(name) : enabled && home === namespace) visible.set(name, service);
  }
  for (const service of visible.values()) Object.assign(env, linksOf(service));
  return env;
}

function hasAddress(service: Service): boolean {
  return service.spec.clusterIP !== undefined && service.spec.clusterIP !== '' && service.spec.clusterIP !== 'None';
}

function variableName(text: string): string {
  return text.toUpperCase().replaceAll('-', '_');
}

function linksOf(service: Service): Record<string, string> {
  const prefix = variableName(service.metadata.name);
  const host = service.spec.clusterIP!;
  const ports = service.spec.ports ?? [];
  const first = ports[0];
  const env: Record<string, string> = { [`${prefix}_SERVICE_HOST`]: host };
  if (first === undefined) return env;
  env[`${prefix}_SERVICE_PORT`] = String(first.port);
  for (const port of ports) if (port.name) env[`${prefix}_SERVICE_PORT_${variableName(port.name)}`] = String(port.port);
  // The Docker links form of the same addresses.
  const url = (port: (typeof ports)[number]): string => `${(port.protocol ?? 'TCP').toLowerCase()}://${host}:${port.port}`;
  env[`${prefix}_PORT`] = url(first);
  for (const port of ports) {
    const protocol = port.protocol ?? 'TCP';
    const link = `${prefix}_PORT_${port.port}_${protocol.toUpperCase()}`;
    Object.assign(env, { [link]: url(port), [`${link}_PROTO`]: protocol.toLowerCase(), [`${link}_PORT`]: String(port.port), [`${link}_ADDR`]: host });
  }
  return env;
}
