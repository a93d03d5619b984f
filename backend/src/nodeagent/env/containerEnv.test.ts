import { describe, expect, test } from 'vitest';
import { KubeClient } from '../../kube/index.ts';
import type { Container, Pod } from '../pods/pod.ts';
import { ConfigSource } from './configSource.ts';
import { containerArgv, containerEnv } from './containerEnv.ts';
import { expandReferences } from './expansion.ts';
import { parseQuantity } from './quantity.ts';
import { serviceLinks, type Service } from './serviceLinks.ts';

const objects: Record<string, object> = {
  'configmaps/settings': { data: { mode: 'kv', block: '16' }, binaryData: { raw: Buffer.from('bin').toString('base64') } },
  'secrets/keys': { data: { key: Buffer.from('s3cret').toString('base64') } },
};

class FakeClient extends KubeClient {
  constructor() {
    super({ server: 'https://unused' });
  }
  override find<T>(type: { plural: string }, name: string): Promise<T> {
    return Promise.resolve(objects[`${type.plural}/${name}`] as T);
  }
}

const facts = { nodeName: 'node-1', hostIP: '10.240.0.1', podIP: '10.244.0.5', allocatable: { memory: '1Gi', cpu: '4' } };

function podOf(container: Partial<Container>): [Pod, Container] {
  const main: Container = { name: 'main', image: 'busybox', ...container };
  return [
    { metadata: { name: 'p', namespace: 'n', uid: 'u', labels: { role: 'worker', b: 'x"y' } }, spec: { containers: [main], serviceAccountName: 'sa' } },
    main,
  ];
}

async function envOf(container: Partial<Container>, services: Record<string, string> = {}): Promise<Record<string, string>> {
  const [pod, main] = podOf(container);
  return containerEnv(pod, main, { config: new ConfigSource(new FakeClient(), 'n'), facts, services });
}

describe('$(VAR) expansion', () => {
  const variables: Record<string, string> = { A: '1', EMPTY: '', REF: '$(A)' };
  test.each([
    ['$(A)', '1'],
    ['x$(A)y', 'x1y'],
    ['$(A)$(A)', '11'],
    ['$$(A)', '$(A)'],
    ['$$$(A)', '$1'],
    ['$$$$(A)', '$$(A)'],
    ['$(EMPTY)', ''],
    ['$(MISSING)', '$(MISSING)'],
    ['$(A', '$(A'],
    ['$A', '$A'],
    ['$', '$'],
    ['a$', 'a$'],
    ['$$', '$'],
    ['$(REF)', '$(A)'],
    ['$()', '$()'],
    ['--arg=$(A) "$(MISSING)" $(A)', '--arg=1 "$(MISSING)" 1'],
  ])('%s → %s', (input, expected) => expect(expandReferences(input, (name) => variables[name])).toBe(expected));
});

test.each([
  ['500m', 0.5],
  ['1', 1],
  ['1.5Gi', 1.5 * 2 ** 30],
  ['128Mi', 128 * 2 ** 20],
  ['2k', 2000],
  ['1e3', 1000],
  ['1E', 1e18],
  ['.5', 0.5],
  ['x', undefined],
  ['1Qi', undefined],
])('quantity %s is %d', (text, value) => expect(parseQuantity(text)).toBe(value));

describe('declared variables', () => {
  test('env beats envFrom, both beat service variables', async () => {
    const env = await envOf(
      { envFrom: [{ configMapRef: { name: 'settings' } }], env: [{ name: 'mode', value: 'own' }] },
      { mode: 'service', OTHER: 'service' },
    );
    expect(env).toMatchObject({ mode: 'own', block: '16', OTHER: 'service' });
  });

  test('a value sees what stands before it and service variables, not what comes after', async () => {
    const env = await envOf(
      {
        env: [
          { name: 'A', value: '$(B)-$(SVC)' },
          { name: 'B', value: 'b' },
          { name: 'C', value: '$(A)+$(B)' },
        ],
      },
      { SVC: 's' },
    );
    expect(env).toMatchObject({ A: '$(B)-s', C: '$(B)-s+b' });
  });

  test('pod fields', async () => {
    const paths = {
      name: 'metadata.name',
      label: "metadata.labels['role']",
      none: "metadata.annotations['x']",
      all: 'metadata.labels',
      ip: 'status.podIP',
      host: 'status.hostIP',
      node: 'spec.nodeName',
      sa: 'spec.serviceAccountName',
    };
    const env = await envOf({ env: Object.entries(paths).map(([name, fieldPath]) => ({ name, valueFrom: { fieldRef: { fieldPath } } })) });
    expect(env).toEqual({
      name: 'p',
      label: 'worker',
      none: '',
      all: 'b="x\\"y"\nrole="worker"',
      ip: '10.244.0.5',
      host: '10.240.0.1',
      node: 'node-1',
      sa: 'sa',
    });
  });

  test('resources are rounded up to the divisor; a missing limit is the node', async () => {
    const field = (name: string, resource: string, divisor?: string): object => ({
      name,
      valueFrom: { resourceFieldRef: { resource, ...(divisor === undefined ? {} : { divisor }) } },
    });
    const env = await envOf({
      resources: { limits: { cpu: '1500m' }, requests: { memory: '65Mi' } },
      env: [
        field('CPU', 'limits.cpu'),
        field('MILLI', 'limits.cpu', '1m'),
        field('MEM', 'limits.memory', '1Mi'),
        field('REQ', 'requests.memory', '10Mi'),
      ] as NonNullable<Container['env']>,
    });
    expect(env).toEqual({ CPU: '2', MILLI: '1500', MEM: '1024', REQ: '7' });
  });

  test.each([
    [{ secretKeyRef: { name: 'none', key: 'k' } }, 'secret "none" not found'],
    [{ configMapKeyRef: { name: 'none', key: 'k' } }, 'configmap "none" not found'],
    [{ secretKeyRef: { name: 'keys', key: 'k' } }, "couldn't find key k in Secret n/keys"],
    [{ configMapKeyRef: { name: 'settings', key: 'k' } }, "couldn't find key k in ConfigMap n/settings"],
    [{ fieldRef: { fieldPath: 'spec.nothing' } }, 'unsupported fieldPath: spec.nothing'],
  ])('%j: %s', async (valueFrom, message) => {
    await expect(envOf({ env: [{ name: 'X', valueFrom }] })).rejects.toThrow(message);
  });

  test('optional sources may be missing', async () => {
    const optional = true;
    const env = await envOf({
      envFrom: [{ secretRef: { name: 'none', optional } }],
      env: [
        { name: 'A', valueFrom: { secretKeyRef: { name: 'none', key: 'k', optional } } },
        { name: 'B', valueFrom: { configMapKeyRef: { name: 'settings', key: 'k', optional } } },
      ],
    });
    expect(env).toEqual({});
  });
});

describe('command line', () => {
  const image = { entrypoint: ['entry'], command: ['cmd'] };
  test.each([
    [{}, ['entry', 'cmd']],
    [{ args: ['a'] }, ['entry', 'a']],
    [{ command: ['c'] }, ['c']],
    [{ command: ['c'], args: ['$(X)', '$$(X)', '$(Y)'] }, ['c', '1', '$(X)', '$(Y)']],
    [{ command: [], args: [] }, ['entry', 'cmd']],
  ])('%j → %j', (container, argv) => expect(containerArgv({ name: 'main', image: 'i', ...container }, image, { X: '1' })).toEqual(argv));
});

test('service variables: kubernetes always, the own namespace with links, never headless', () => {
  const service = (namespace: string, name: string, clusterIP: string, ports: object[]): Service =>
    ({ metadata: { name, namespace }, spec: { clusterIP, ports } }) as Service;
  const services = [
    service('default', 'kubernetes', '10.96.0.1', [{ name: 'https', port: 443, protocol: 'TCP' }]),
    service('n', 'my-nats', '10.96.0.9', [
      { name: 'client', port: 4222 },
      { name: 'http-mon', port: 8222 },
    ]),
    service('n', 'headless', 'None', [{ port: 80 }]),
    service('other', 'foreign', '10.96.0.7', [{ port: 80 }]),
  ];
  const env = serviceLinks(services, 'n', true);
  expect(env).toMatchObject({
    KUBERNETES_SERVICE_HOST: '10.96.0.1',
    KUBERNETES_SERVICE_PORT: '443',
    KUBERNETES_SERVICE_PORT_HTTPS: '443',
    MY_NATS_SERVICE_HOST: '10.96.0.9',
    MY_NATS_SERVICE_PORT: '4222',
    MY_NATS_SERVICE_PORT_HTTP_MON: '8222',
    MY_NATS_PORT: 'tcp://10.96.0.9:4222',
    MY_NATS_PORT_8222_TCP_ADDR: '10.96.0.9',
  });
  expect(Object.keys(env).some((name) => /HEADLESS|FOREIGN/.test(name))).toBe(false);
  expect(Object.keys(serviceLinks(services, 'n', false)).some((name) => name.startsWith('MY_NATS'))).toBe(false);
});
