import { describe, expect, test } from 'vitest';
import { Balancer } from './balancer.ts';
import type { EndpointSlice, Service, SliceEndpoint } from './serviceObjects.ts';
import { serviceTable, type ServiceEntry } from './serviceTable.ts';

const service = (spec: Partial<Service['spec']>): Service => ({ metadata: { name: 'web', namespace: 'shop', uid: 'u' }, spec });
const slice = (endpoints: SliceEndpoint[], ports: EndpointSlice['ports'] = [{ name: 'http', port: 8000, protocol: 'TCP' }]): EndpointSlice => ({
  metadata: { name: 'web-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } },
  addressType: 'IPv4',
  endpoints,
  ports: ports ?? [],
});
const table = (spec: Partial<Service['spec']>, ...slices: EndpointSlice[]): Map<string, ServiceEntry> =>
  serviceTable([service(spec)], new Map([['shop/web', slices]]));
const http = [{ name: 'http', port: 80, nodePort: 30_080 }];
const ips = (entries: Map<string, ServiceEntry>, key = 'shop/web:http'): string[] => (entries.get(key)?.targets ?? []).map(({ ip, port }) => `${ip}:${port}`);

describe('what the proxy serves', () => {
  test('an entry per TCP port with its ready endpoints', () => {
    const entries = table(
      { clusterIP: '10.96.0.5', ports: [...http, { name: 'udp', port: 53, protocol: 'UDP' }, { port: 9 }] },
      slice([
        { addresses: ['10.244.1.1'], conditions: { ready: true } },
        { addresses: ['10.244.1.2'], conditions: { ready: false } },
        { addresses: ['10.244.1.3'] },
      ]),
    );
    expect([...entries.keys()]).toEqual(['shop/web:http', 'shop/web:9']);
    expect(entries.get('shop/web:http')).toMatchObject({ clusterIPs: ['10.96.0.5'], port: 80, nodePort: 30_080, affinitySeconds: undefined });
    expect(ips(entries)).toEqual(['10.244.1.1:8000', '10.244.1.3:8000']);
  });

  test('if none is ready, those that still serve while they end; an endpoint in two slices counts once', () => {
    const ending = { addresses: ['10.244.1.2'], conditions: { ready: false, serving: true, terminating: true } };
    const broken = { addresses: ['10.244.1.4'], conditions: { ready: false, serving: false, terminating: true } };
    expect(ips(table({ clusterIP: '10.96.0.5', ports: http }, slice([ending, broken]), slice([ending])))).toEqual(['10.244.1.2:8000']);
  });

  test('ports are matched by name over slices with other numbers', () => {
    const a = slice(
      [{ addresses: ['10.244.1.1'] }],
      [
        { name: 'http', port: 1111 },
        { name: 'metrics', port: 9 },
      ],
    );
    const b = slice([{ addresses: ['10.244.1.2'] }], [{ name: 'http', port: 2222 }]);
    expect(ips(table({ clusterIP: '10.96.0.5', ports: http }, a, b))).toEqual(['10.244.1.1:1111', '10.244.1.2:2222']);
    expect(
      ips(table({ clusterIP: '10.96.0.5', ports: [{ port: 80 }] }, slice([{ addresses: ['10.244.1.1'] }], [{ name: '', port: 5 }])), 'shop/web:80'),
    ).toEqual(['10.244.1.1:5']);
  });

  test('headless, ExternalName and IPv6-only Services have no entry', () => {
    expect(table({ clusterIP: 'None', ports: [{ name: 'http', port: 80 }] }, slice([])).size).toBe(0);
    expect(table({ type: 'ExternalName', externalName: 'x.y', ports: http }).size).toBe(0);
    expect(table({ clusterIPs: ['fd00::1'], ports: [{ port: 80 }] }).size).toBe(0);
  });
});

describe('the choice of an endpoint', () => {
  const entry = (affinitySeconds?: number): ServiceEntry => ({
    key: 'k',
    namespace: 'n',
    name: 's',
    uid: undefined,
    clusterIPs: [],
    port: 80,
    nodePort: undefined,
    targets: ['a', 'b', 'c'].map((ip) => ({ ip, port: 1 })),
    affinitySeconds,
  });
  const first = (balancer: Balancer, of: ServiceEntry, client = 'x'): string | undefined => balancer.order(of, client)[0]?.ip;

  test('goes round, and offers the others after it', () => {
    const balancer = new Balancer();
    expect([1, 2, 3, 4].map(() => first(balancer, entry()))).toEqual(['a', 'b', 'c', 'a']);
    expect(balancer.order(entry(), 'x').map(({ ip }) => ip)).toEqual(['b', 'c', 'a']);
    expect(balancer.order({ ...entry(), targets: [] }, 'x')).toEqual([]);
  });

  test('affinity holds per client until its time is over or the endpoint is gone', () => {
    let now = 0;
    const balancer = new Balancer(() => now);
    const sticky = entry(10);
    balancer.connected(sticky, 'x', { ip: 'b', port: 1 });
    expect([first(balancer, sticky), first(balancer, sticky), first(balancer, sticky, 'other')]).toEqual(['b', 'b', 'a']);
    now = 10_001;
    expect(first(balancer, sticky)).not.toBe(undefined);
    balancer.connected(sticky, 'x', { ip: 'b', port: 1 });
    expect(first(balancer, { ...sticky, targets: [{ ip: 'c', port: 1 }] })).toBe('c');
    balancer.retain(new Set());
    expect(first(balancer, sticky)).toBe('a');
  });
});
