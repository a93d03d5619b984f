import dnsPacket, { type Answer, type DecodedPacket } from 'dns-packet';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { answerBytes, ClusterNames } from './clusterDns.ts';
import { clusterZone } from './clusterZone.ts';
import type { EndpointSlice, Service } from './serviceObjects.ts';

const services: Service[] = [
  { metadata: { name: 'web', namespace: 'shop' }, spec: { clusterIP: '10.96.0.5', ports: [{ name: 'http', port: 80 }] } },
  { metadata: { name: 'nats', namespace: 'nats-system' }, spec: { clusterIP: 'None', ports: [{ name: 'client', port: 4222 }] } },
  { metadata: { name: 'out', namespace: 'shop' }, spec: { type: 'ExternalName', externalName: 'web.shop.svc.cluster.local' } },
];
const slice = (service: string, namespace: string, endpoints: EndpointSlice['endpoints'], port: number, name: string): EndpointSlice => ({
  metadata: { name: service, namespace, labels: { 'kubernetes.io/service-name': service } },
  addressType: 'IPv4',
  endpoints: endpoints ?? [],
  ports: [{ name, port, protocol: 'TCP' }],
});
const slices = new Map([
  ['shop/web', [slice('web', 'shop', [{ addresses: ['10.244.1.1'] }], 8000, 'http')]],
  [
    'nats-system/nats',
    [
      slice(
        'nats',
        'nats-system',
        [{ addresses: ['10.244.1.2'], hostname: 'nats-0' }, { addresses: ['10.244.1.3'] }, { addresses: ['10.244.1.4'], conditions: { ready: false } }],
        4222,
        'client',
      ),
    ],
  ],
]);
const zone = clusterZone(services, slices);
const names = new ClusterNames(() => zone);

function ask(name: string, type: string, extra: object = {}): DecodedPacket & { rcode?: string } {
  const query = dnsPacket.encode({ type: 'query', id: 7, flags: dnsPacket.RECURSION_DESIRED, questions: [{ type: type as 'A', name }], ...extra });
  const answer = answerBytes(names, query, 512);
  return dnsPacket.decode(answer as Buffer);
}
const data = (packet: DecodedPacket): unknown[] => (packet.answers ?? []).map((answer: Answer) => (answer as { data?: unknown }).data);

describe('cluster DNS', () => {
  test('Services, whatever the case', () => {
    const packet = ask('Web.SHOP.svc.cluster.local', 'A');
    expect(data(packet)).toEqual(['10.96.0.5']);
    expect(packet.answers?.[0]?.name).toBe('Web.SHOP.svc.cluster.local');
    expect(packet).toMatchObject({ id: 7, rcode: 'NOERROR', flag_aa: true, flag_rd: true });
  });

  test('a headless Service is its ready pods, by host name or address; answers take turns', () => {
    const orders = [1, 2].map(() => data(ask('nats.nats-system.svc.cluster.local', 'A')));
    expect(orders[0]?.toSorted()).toEqual(['10.244.1.2', '10.244.1.3']);
    expect(orders[0]).toEqual(orders[1]?.toReversed());
    expect(data(ask('nats-0.nats.nats-system.svc.cluster.local', 'A'))).toEqual(['10.244.1.2']);
    expect(data(ask('10-244-1-3.nats.nats-system.svc.cluster.local', 'A'))).toEqual(['10.244.1.3']);
    expect(data(ask('10-244-9-9.any.pod.cluster.local', 'A'))).toEqual(['10.244.9.9']);
  });

  test('SRV for named ports, with the addresses along; PTR; CNAME', () => {
    const srv = ask('_client._tcp.nats.nats-system.svc.cluster.local', 'SRV');
    expect(data(srv)).toMatchObject([
      { target: 'nats-0.nats.nats-system.svc.cluster.local', port: 4222 },
      { target: '10-244-1-3.nats.nats-system.svc.cluster.local', port: 4222 },
    ]);
    expect(srv.additionals).toHaveLength(2);
    expect(data(ask('_http._tcp.web.shop.svc.cluster.local', 'SRV'))).toMatchObject([{ target: 'web.shop.svc.cluster.local', port: 80 }]);
    expect(data(ask('5.0.96.10.in-addr.arpa', 'PTR'))).toEqual(['web.shop.svc.cluster.local']);
    expect(data(ask('2.1.244.10.in-addr.arpa', 'PTR'))).toEqual(['nats-0.nats.nats-system.svc.cluster.local']);
    expect(data(ask('out.shop.svc.cluster.local', 'A'))).toEqual(['web.shop.svc.cluster.local', '10.96.0.5']);
  });

  test('what does not exist is NXDOMAIN; what has no such record, or only names below it, is empty', () => {
    for (const name of ['nope.shop.svc.cluster.local', 'example.com', 'web']) expect(ask(name, 'A')).toMatchObject({ rcode: 'NXDOMAIN', answers: [] });
    for (const [name, type] of [
      ['web.shop.svc.cluster.local', 'AAAA'],
      ['shop.svc.cluster.local', 'A'],
    ] as const) {
      expect(ask(name, type)).toMatchObject({ rcode: 'NOERROR', answers: [] });
    }
    expect(ask('nope.shop.svc.cluster.local', 'A').authorities?.[0]?.type).toBe('SOA');
  });

  test('an answer too long for a datagram is cut off with TC, unless the client takes more', () => {
    const many = Array.from({ length: 60 }, (_, i) => ({ addresses: [`10.244.2.${i}`] }));
    const large = new ClusterNames(() => clusterZone(services, new Map([['nats-system/nats', [slice('nats', 'nats-system', many, 4222, 'client')]]])));
    const question = { type: 'query' as const, id: 1, questions: [{ type: 'A' as const, name: 'nats.nats-system.svc.cluster.local' }] };
    const cut = dnsPacket.decode(answerBytes(large, dnsPacket.encode(question), 512) as Buffer);
    expect(cut).toMatchObject({ flag_tc: true, answers: [] });
    const opt = { type: 'OPT', name: '.', udpPayloadSize: 4096, flags: 0, options: [] } as unknown as Answer;
    const whole = dnsPacket.decode(answerBytes(large, dnsPacket.encode({ ...question, additionals: [opt] }), 512) as Buffer);
    expect(whole.flag_tc).toBe(false);
    expect(whole.answers).toHaveLength(60);
    expect(dnsPacket.decode(answerBytes(large, dnsPacket.encode(question), undefined) as Buffer).answers).toHaveLength(60);
  });

  test('rubbish is dropped, never thrown', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => void answerBytes(names, Buffer.from(bytes), 512)));
    expect(answerBytes(names, dnsPacket.encode({ type: 'response', id: 1, questions: [] }), 512)).toBeUndefined();
  });
});
