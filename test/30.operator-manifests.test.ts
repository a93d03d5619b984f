import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { generateCrds } from '../backend/src/operator/crds/generateCrds.ts';
import { assets, startOperatorStack, type OperatorStack } from './support/operatorStack.ts';
import { seedCell, seedsMissing } from './support/seedCells.ts';
import { hereDocument, seedShell } from './support/seedShell.ts';
import type { Stack } from './support/stack.ts';

if (seedsMissing !== undefined) console.log(`the seeds’ graphs are not applied: ${seedsMissing}`);

const manifest = readFileSync(path.join(assets, 'graphs/agg-router.yaml'), 'utf8');

let started: OperatorStack;
let stack: Stack;
const kubectl = (...args: string[]): Promise<string> => started.kubectl(...args);
const eventually = { timeout: 30_000, interval: 100 };

beforeAll(async () => {
  started = await startOperatorStack();
  ({ stack } = started);
});
afterAll(() => started?.close());

describe('custom resource definitions', () => {
  it('are what their sources and this API server give', async () => {
    for (const [file, text] of await generateCrds(stack.kube))
      expect(readFileSync(path.join(assets, 'crds', file), 'utf8') === text, `${file} is out of date`).toBe(true);
  });

  it('have the names, short names and columns that manuals use', async () => {
    const resources = await kubectl('api-resources', '--api-group=nvidia.com', '--no-headers');
    expect(resources.split('\n').map((line) => line.split(/\s+/).slice(0, 2))).toEqual([
      ['dynamocomponentdeployments', 'dcd'],
      ['dynamographdeployments', 'dgd'],
      ['dynamoworkermetadatas', 'dwm'],
    ]);
  });

  it.each([
    ['a typo in a service', 'replicas: 2', 'replicaz: 2', 'unknown field "spec.services.VllmWorker.replicaz"'],
    ['a typo deep in the pod', 'workingDir:', 'workinDir:', 'unknown field "spec.services.VllmWorker.extraPodSpec.mainContainer.workinDir"'],
    ['negative replicas', 'replicas: 2', 'replicas: -2', 'spec.services[VllmWorker].replicas must be non-negative'],
    ['a number where a string belongs', 'gpu: "1"', 'gpu: 1', 'spec.services.VllmWorker.resources.limits.gpu: Invalid value: "integer"'],
    ['shared memory without a size', 'replicas: 2', 'sharedMemory: {}', 'spec.services[VllmWorker].sharedMemory.size is required when disabled is false'],
    ['ingress without a host', 'replicas: 2', 'ingress: { enabled: true }', 'spec.services[VllmWorker].ingress.host is required when ingress is enabled'],
    [
      'an incomplete claim',
      'envs:',
      'pvcs: [{ name: a, create: true }]\n  envs:',
      'When create is true, size, storageClass, and volumeAccessMode are required',
    ],
  ])('refuse %s', async (_what, from, to, message) => {
    expect(manifest).toContain(from);
    const run = await stack.kubectl(['apply', '-f', '-'], { input: manifest.replace(from, to) });
    expect(run.code).not.toBe(0);
    expect(run.stderr).toContain(message);
  });

  it('refuse a graph without services and a change of backendFramework', async () => {
    const head = 'apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nmetadata: { name: tiny, namespace: default }\n';
    const none = await stack.kubectl(['apply', '-f', '-'], { input: `${head}spec: {}\n` });
    expect(none.stderr).toContain('spec.services must have at least one service');
    const body = (backend: string): string => `${head}spec: { backendFramework: ${backend}, services: { Frontend: { componentType: frontend } } }\n`;
    expect((await stack.kubectl(['apply', '-f', '-'], { input: body('vllm') })).code).toBe(0);
    const changed = await stack.kubectl(['apply', '-f', '-'], { input: body('sglang') });
    expect(changed.stderr).toContain('spec.backendFramework is immutable and cannot be changed after creation');
    await kubectl('delete', 'dgd', 'tiny', '-n', 'default');
  });
});

describe.skipIf(seedsMissing !== undefined)('the seeds’ graphs', () => {
  it.each([
    { seed: '002', name: 'vllm-distributed-demo', tag: '0.7.1', namespaceLabel: 'vllm-distributed-demo', canary: 'true' },
    { seed: '003', name: 'vllm-kv-demo', tag: '0.8.0', namespaceLabel: 'dynamo-vllm-kv-demo', canary: 'false' },
  ])('$name: applied unchanged, made as its release’s operator makes it', async ({ seed, name, tag, namespaceLabel, canary }) => {
    using shell = seedShell(stack);
    const { text } = seedCell(seed, 'kind: DynamoGraphDeployment', `name: ${name}`);
    const { calls, output } = await shell.run(text);
    expect(output).toContain(`dynamographdeployment.nvidia.com/${name} created`);
    expect(calls[0]?.stdin).toBe(hereDocument(text, { NAMESPACE: 'dynamo', RELEASE_VERSION: '0.8.0' }));
    const get = async (kind: string, service: string): Promise<Record<string, unknown>> => {
      const path = ['get', kind, `${name}-${service}`, '-n', 'dynamo', '-o', 'json'];
      await expect.poll(async () => (await stack.kubectl(path)).code, eventually).toBe(0);
      return JSON.parse(await kubectl(...path)) as Record<string, unknown>;
    };
    const labels = { 'nvidia.com/dynamo-graph-deployment-name': name, 'nvidia.com/dynamo-namespace': namespaceLabel };
    const worker = await get('deployment', 'vllmworker');
    expect(worker).toMatchObject({
      spec: {
        replicas: 2,
        template: {
          metadata: { labels: { ...labels, 'nvidia.com/dynamo-component': 'VllmWorker', 'nvidia.com/dynamo-component-type': 'worker' } },
          spec: {
            volumes: [
              { name: 'shared-memory', emptyDir: { medium: 'Memory', sizeLimit: '8Gi' } },
              { name: 'local-model-cache', hostPath: { path: '/data/huggingface-cache', type: 'DirectoryOrCreate' } },
            ],
            containers: [
              {
                image: `nvcr.io/nvidia/ai-dynamo/vllm-runtime:${tag}`,
                envFrom: [{ secretRef: { name: 'hf-token-secret' } }],
                livenessProbe: { failureThreshold: 1 },
                startupProbe: { failureThreshold: 720 },
                workingDir: '/workspace/components/backends/vllm',
                securityContext: { capabilities: { add: ['IPC_LOCK'] } },
              },
            ],
          },
        },
      },
    });
    expect(JSON.stringify(worker)).toContain(`{"name":"DYN_HEALTH_CHECK_ENABLED","value":"${canary}"}`);
    expect(JSON.stringify(worker)).toContain(`{"name":"DYN_NAMESPACE","value":"dynamo-${name}"}`);
    expect(await get('deployment', 'frontend')).toMatchObject({
      spec: { template: { metadata: { labels: { ...labels, 'nvidia.com/dynamo-component': 'Frontend' } } } },
    });
    expect(await get('service', 'vllmworker')).toMatchObject({ spec: { selector: labels, ports: [{ name: 'system', port: 9090, targetPort: 'system' }] } });
    await kubectl('delete', 'dynamographdeployment', name, '-n', 'dynamo');
  });
});

describe('shipped manifests', () => {
  it.each(['nats.yaml', 'agg.yaml', 'agg-router.yaml', 'vllm-disagg.yaml'])('%s passes the strict validation of the API server', async (file) => {
    const documents = parseAllDocuments(readFileSync(path.join(assets, 'graphs', file), 'utf8'));
    expect(documents.length).toBeGreaterThan(0);
    if (file === 'nats.yaml') await stack.kubectl(['create', 'namespace', 'nats-system']);
    const run = await stack.kubectl(['apply', '--dry-run=server', '-f', path.join(assets, 'graphs', file)]);
    expect(run.stderr.replace(/^Warning: resource namespaces.*\n/gm, '')).toBe('');
    expect(run.stdout.trim().split('\n')).toHaveLength(documents.length);
  });
});
