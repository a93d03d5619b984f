import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, textOf } from '../backend/src/nodeagent/podnet/podNetTesting.ts';
import { buildPodinit } from '../native/podinit/build.mjs';
import { startStack, type Stack } from './support/stack.ts';

/** Has Node.js and the host's tools; no model is started. */
const image = 'nvcr.io/nvidia/ai-dynamo/vllm-runtime:0.8.1';
const nodePort = 30_777;

const answer = `require('http').createServer((q, r) => r.end(process.env.POD_NAME + '\\n')).listen(8000)`;

function template(app: string, script: string): unknown {
  const env = [{ name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }];
  const readinessProbe = { tcpSocket: { port: 8000 }, periodSeconds: 1 };
  const container = { name: 'main', image, command: ['node', '-e', script], env, ports: [{ name: 'http', containerPort: 8000 }], readinessProbe };
  return { metadata: { labels: { app } }, spec: { terminationGracePeriodSeconds: 1, containers: [container] } };
}

const manifests = {
  apiVersion: 'v1',
  kind: 'List',
  items: [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web', namespace: 'shop' },
      spec: { replicas: 2, selector: { matchLabels: { app: 'web' } }, template: template('web', answer) },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', namespace: 'shop' },
      spec: { type: 'NodePort', selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 'http', nodePort }] },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name: 'db', namespace: 'shop' },
      spec: { serviceName: 'db', replicas: 2, podManagementPolicy: 'Parallel', selector: { matchLabels: { app: 'db' } }, template: template('db', answer) },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'db', namespace: 'shop' },
      spec: { clusterIP: 'None', selector: { app: 'db' }, ports: [{ name: 'http', port: 8000 }] },
    },
  ],
};

for (const podNet of ['namespaces', 'loopback'] as const) {
  describe(`Services of a real cluster: ${podNet}`, () => {
    let stack: Stack;

    const inPod = async (...command: string[]): Promise<string> => {
      const { stdout, stderr } = await stack.kubectl(['exec', '-n', 'shop', 'db-0', '--', ...command]);
      return (stdout + stderr).trim();
    };
    const fromHost = async (): Promise<string> => {
      const socket = connect(nodePort, stack.nodePortAddress);
      socket.write('GET / HTTP/1.0\r\n\r\n');
      return (await textOf(socket)).split('\r\n\r\n')[1]?.trim() ?? '';
    };

    beforeAll(async () => {
      buildPodinit();
      stack = await startStack({ podNet });
      const applied = await stack.kubectl(['apply', '-f', '-'], { input: JSON.stringify(manifests) });
      expect(applied.stderr).toBe('');
      for (const each of ['deployment/web', 'statefulset/db']) {
        const rollout = await stack.kubectl(['rollout', 'status', '-n', 'shop', each, '--timeout=60s'], { timeoutMs: 70_000 });
        expect(rollout).toMatchObject({ code: 0 });
      }
    });

    afterAll(() => stack.close());

    test('the node says which pod network it has', async () => {
      const { stdout } = await stack.kubectl(['get', 'nodes', '-o', 'jsonpath={.items[0].metadata.labels.dynamo-labs\\.dev/podnet}']);
      expect(stdout).toBe(podNet);
    });

    test('ClusterIP by name and NodePort from the host reach both pods', async () => {
      const pods = (await stack.kubectl(['get', 'pods', '-n', 'shop', '-l', 'app=web', '-o', 'name'])).stdout.trim().split('\n');
      const names = new Set<string>();
      await eventually(async () => names.add(await fromHost()).size >= 2, 'answers of both pods');
      expect([...names].map((name) => `pod/${name}`).toSorted()).toEqual(pods.toSorted());
      expect(pods).toContain(`pod/${await inPod('curl', '-s', 'http://web')}`);
      expect(pods).toContain(`pod/${await inPod('curl', '-s', 'http://web.shop.svc.cluster.local')}`);
    });

    test('the pods of a StatefulSet have names', async () => {
      expect(await inPod('curl', '-s', 'http://db-1.db:8000')).toBe('db-1');
      const { stdout } = await stack.kubectl(['get', 'pod', '-n', 'shop', 'db-1', '-o', 'jsonpath={.status.podIP}']);
      expect(stdout).toMatch(/^10\.244\./);
      expect(await inPod('getent', 'hosts', 'db-1.db.shop')).toContain(stdout);
    });

    test('a pod reaches the API server by its Service name, with its own token and CA', async () => {
      const script = `
        const fs = require('fs'), dir = process.env.DYNAMO_LABS_SERVICEACCOUNT_DIR ?? '/var/run/secrets/kubernetes.io/serviceaccount';
        require('https').get({ host: 'kubernetes.default.svc', path: '/api/v1/namespaces/shop/pods', ca: fs.readFileSync(dir + '/ca.crt'),
          headers: { authorization: 'Bearer ' + fs.readFileSync(dir + '/token', 'utf8') } }, (r) => { console.log(r.statusCode); r.resume() }).on('error', (e) => console.log(e.message));`;
      // Authenticated (not 401), and without rights of its own (403).
      expect(await inPod('node', '-e', script)).toBe('403');
    });

    test('without ready pods a Service refuses', async () => {
      await stack.kubectl(['scale', '-n', 'shop', 'deployment/web', '--replicas=0']);
      await eventually(
        () =>
          fromHost().then(
            () => false,
            (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED',
          ),
        'the refusal',
      );
      expect(await inPod('sh', '-c', 'curl -s http://web; echo $?')).toBe('7');
    });
  });
}
