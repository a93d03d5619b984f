import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PodNetContract } from './podNet.contract.ts';
import type { PodNet, PodSandbox } from './podNet.ts';
import { call, eventually, pod, programOf, run, startGreeter, textOf } from './podNetTesting.ts';
import { startClusterDns } from './services/clusterDns.ts';
import type { EndpointSlice, Service, SliceEndpoint } from './services/serviceObjects.ts';
import { startServiceProxy, type ServiceProblem } from './services/serviceProxy.ts';
import { StaticServices } from './services/staticServices.ts';

const nodePortAddress = '127.0.0.2';

function service(name: string, spec: Partial<Service['spec']>, namespace = 'default'): Service {
  return { metadata: { name, namespace, uid: `uid-${name}` }, spec: { type: 'ClusterIP', ports: [], ...spec } };
}

function slice(name: string, endpoints: SliceEndpoint[], ports: EndpointSlice['ports'], namespace = 'default'): EndpointSlice {
  const labels = { 'kubernetes.io/service-name': name };
  return { metadata: { name: `${name}-x`, namespace, labels }, addressType: 'IPv4', endpoints, ports: ports ?? [] };
}

/** Connects from the host. */
async function callHost(host: string, port: number): Promise<string> {
  const socket = connect({ host, port });
  try {
    return (await textOf(socket)).trim();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, nodePortAddress, resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Services and names as pods see them, over each driver. */
export function describePodServices({ driver, make }: PodNetContract): void {
  describe(`Services and names: ${driver}`, () => {
    let dir: string;
    let net: PodNet;
    let a: PodSandbox;
    let b: PodSandbox;
    let client: PodSandbox;
    let apiServer: Server;
    let nodePort: number;
    const source = new StaticServices();
    const problems: ServiceProblem[] = [];
    const closers: AsyncDisposable[] = [];

    const ready = (sandbox: PodSandbox, more: Partial<SliceEndpoint> = {}): SliceEndpoint => ({
      addresses: [sandbox.ip],
      conditions: { ready: true },
      ...more,
    });
    const port = [{ name: 'http', port: 8000, protocol: 'TCP' }];
    const web = (more: Partial<Service['spec']> = {}): Service =>
      service('web', { clusterIP: '10.96.0.20', type: 'NodePort', ports: [{ name: 'http', port: 80, nodePort }], ...more });

    beforeAll(async () => {
      dir = mkdtempSync(path.join(tmpdir(), `podservices-${driver}-`));
      net = make(path.join(dir, 'net'));
      await net.start(AbortSignal.timeout(10_000));
      [a, b, client] = [await net.createSandbox(pod('a')), await net.createSandbox(pod('b')), await net.createSandbox(pod('client'))];
      await startGreeter(a, 'a', [8000, '0.0.0.0'], dir);
      await startGreeter(b, 'b', [8000, '0.0.0.0'], dir);
      for (const sandbox of [a, b]) await eventually(async () => (await sandbox.dialLocal(8000, AbortSignal.timeout(1000))).destroy(), 'the servers');
      apiServer = createServer((socket) => socket.end('api server')).listen(0, '127.0.0.1');
      await new Promise((resolve) => apiServer.once('listening', resolve));
      nodePort = await freePort();
      closers.push(
        await startServiceProxy({
          services: source,
          podNet: net,
          nodeIps: ['10.240.0.1'],
          nodePortAddress,
          apiServer: `127.0.0.1:${(apiServer.address() as AddressInfo).port}`,
          onProblem: (problem) => problems.push(problem),
        }),
        await startClusterDns({ services: source, podNet: net }),
      );
    });

    afterAll(async () => {
      for (const closer of closers) await closer[Symbol.asyncDispose]();
      await net.close({ keepPods: false });
      apiServer.close();
      rmSync(dir, { recursive: true, force: true });
    });

    test('the kubernetes Service leads to the API server of the host', async () => {
      expect(await call(client, '10.96.0.1', 443)).toBe('api server');
    });

    test('ClusterIP and NodePort: from pods, and on the host', async () => {
      source.set([web()], [slice('web', [ready(a)], port)]);
      await eventually(async () => (await call(client, '10.96.0.20', 80)).startsWith('a saw'), 'the ClusterIP');
      expect(await call(client, '10.240.0.1', nodePort)).toMatch(/^a saw 10\.244\.0\.1$/);
      expect(await callHost(nodePortAddress, nodePort)).toMatch(/^a saw 10\.244\.0\.1$/);
      // A pod may be its own client.
      expect(await call(a, '10.96.0.20', 80)).toMatch(/^a saw/);
    });

    test('round robin over ready endpoints only', async () => {
      source.set([web()], [slice('web', [ready(a), ready(b)], port)]);
      const answers = [];
      for (let i = 0; i < 4; i++) answers.push((await callHost(nodePortAddress, nodePort)).slice(0, 1));
      expect(answers.toSorted()).toEqual(['a', 'a', 'b', 'b']);
      source.set([web()], [slice('web', [ready(a, { conditions: { ready: false } }), ready(b)], port)]);
      for (let i = 0; i < 3; i++) expect(await callHost(nodePortAddress, nodePort)).toMatch(/^b/);
    });

    test('ClientIP affinity keeps a client with its endpoint', async () => {
      source.set([web({ sessionAffinity: 'ClientIP' })], [slice('web', [ready(a), ready(b)], port)]);
      const answers = new Set<string>();
      for (let i = 0; i < 4; i++) answers.add((await call(client, '10.96.0.20', 80)).slice(0, 1));
      expect(answers.size).toBe(1);
    });

    test('an endpoint that refuses is passed over', async () => {
      source.set([web()], [slice('web', [ready(client), ready(b)], port)]);
      for (let i = 0; i < 4; i++) expect(await callHost(nodePortAddress, nodePort)).toMatch(/^b/);
    });

    test('without endpoints a client is refused at once', async () => {
      source.set([web()], [slice('web', [], port)]);
      await eventually(async () => (await call(client, '10.96.0.20', 80)) === 'ECONNREFUSED', 'the refusal in the pod network');
      expect(await callHost(nodePortAddress, nodePort)).toBe('ECONNREFUSED');
      source.set([web()], [slice('web', [ready(client)], port)]);
      await eventually(async () => (await callHost(nodePortAddress, nodePort)) === 'ECONNRESET', 'a reset where the only endpoint refuses');
    });

    test('a busy NodePort of the host is reported once and served as soon as it is free', async () => {
      const busy = await freePort();
      const other = createServer().listen(busy, nodePortAddress);
      await new Promise((resolve) => other.once('listening', resolve));
      source.set([web({ ports: [{ name: 'http', port: 80, nodePort: busy }] })], [slice('web', [ready(a)], port)]);
      await eventually(() => problems.length > 0, 'a report');
      expect(problems[0]).toMatchObject({ namespace: 'default', name: 'web', reason: 'NodePortUnavailable' });
      expect(problems[0]?.message).toContain(`${nodePortAddress}:${busy}`);
      expect(await call(client, '10.96.0.20', 80)).toMatch(/^a saw/);
      await new Promise((resolve) => other.close(resolve));
      source.set([web({ ports: [{ name: 'http', port: 80, nodePort: busy }] })], [slice('web', [ready(a)], port)]);
      await eventually(async () => (await callHost(nodePortAddress, busy)).startsWith('a saw'), 'the port after it came free');
      expect(problems).toHaveLength(1);
    });

    test('20 MB through a Service, both ways at once, with half-closed ends', async () => {
      const digest = `require('net').createServer({ allowHalfOpen: true }, (c) => { const h = require('crypto').createHash('sha256'); c.on('error', () => {}); c.on('data', (d) => h.update(d)); c.on('end', () => c.end(h.digest('hex'))) }).listen(8100)`;
      const echo = `require('net').createServer({ allowHalfOpen: true }, (c) => c.on('error', () => {}).pipe(c)).listen(8200)`;
      const servers = [await a.spawn(programOf(['node', '-e', digest])), await a.spawn(programOf(['node', '-e', echo]))];
      for (const each of [8100, 8200]) await eventually(async () => (await a.dialLocal(each, AbortSignal.timeout(1000))).destroy(), 'the servers');
      const ports = [
        { name: 'digest', port: 1 },
        { name: 'echo', port: 2 },
      ];
      source.set(
        [service('bulk', { clusterIP: '10.96.0.21', ports })],
        [slice('bulk', [ready(a)], [{ name: 'digest', port: 8100 }]), { ...slice('bulk', [ready(a)], [{ name: 'echo', port: 8200 }]) }],
      );
      await eventually(async () => (await net.dial('10.96.0.21', 2, AbortSignal.timeout(1000))).destroy(), 'the Service');
      const content = randomBytes(20_000_000);
      const expected = createHash('sha256').update(content).digest('hex');
      for (const [number, outcome] of [
        [1, expected],
        [2, content],
      ] as const) {
        const socket = await net.dial('10.96.0.21', number, AbortSignal.timeout(5000));
        socket.end(content);
        const chunks: Buffer[] = [];
        for await (const chunk of socket) chunks.push(chunk as Buffer);
        const received = Buffer.concat(chunks);
        expect(number === 1 ? received.toString() : received.equals(content)).toBe(number === 1 ? outcome : true);
      }
      for (const server of servers) server.kill('SIGKILL');
    });

    test('names: Services, pods of a headless Service, short forms, and what does not exist', async () => {
      const headless = service('nats', { clusterIP: 'None', ports: [{ name: 'client', port: 4222 }] }, 'nats-system');
      source.set(
        [web(), headless],
        [
          slice('web', [ready(a)], port),
          slice('nats', [ready(a, { hostname: 'nats-0' }), ready(b, { hostname: 'nats-1' })], [{ name: 'client', port: 4222 }], 'nats-system'),
        ],
      );
      const script = `const dns = require('dns').promises; (async () => { for (const name of process.argv.slice(1)) console.log(await dns.lookup(name, { all: true, family: 4 }).then((l) => l.map((r) => r.address).sort().join(), (e) => e.code)) })()`;
      const names = ['web', 'web.default', 'web.default.svc.cluster.local', 'nats.nats-system', 'nats-1.nats.nats-system.svc', 'nope.default', 'client'];
      const { stdout, stderr } = await run(client, programOf(['node', '-e', script, ...names]));
      const both = [a.ip, b.ip].toSorted().join();
      expect(stderr + stdout).toBe(['10.96.0.20', '10.96.0.20', '10.96.0.20', both, b.ip, 'ENOTFOUND', client.ip, ''].join('\n'));
      expect((await run(client, programOf(['getent', 'hosts', 'web.default']))).stdout).toMatch(/^10\.96\.0\.20\s/);
      expect((await run(client, programOf(['getent', 'ahostsv4', 'web']))).stdout).toMatch(/^10\.96\.0\.20\s/);
      expect((await run(client, programOf(['hostname']))).stdout).toBe('client\n');
    });
  });
}
