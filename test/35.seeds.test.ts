import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { KubeObject } from '../backend/src/kube/index.ts';
import { resourceType } from '../backend/src/operator/names.ts';
import { seedCell, seedsMissing } from './support/seedCells.ts';
import { type CellRun, hereDocument, type SeedShell, seedShell } from './support/seedShell.ts';
import { type Stack, startStack } from './support/stack.ts';

/** The cells' defaults, with which a person runs them who sets nothing. */
const variables = { NAMESPACE: 'dynamo', RELEASE_VERSION: '0.8.0' };
const natsManifest = path.resolve(import.meta.dirname, '../assets/graphs/nats.yaml');
const eventually = { timeout: 90_000, interval: 200 };
const minutes = 60_000;

const graphs = [
  { seed: '002', name: 'vllm-distributed-demo', nodePort: 'vllm-distributed-demo-frontend-np', image: '0.7.1' },
  { seed: '003', name: 'vllm-kv-demo', nodePort: 'vllm-kv-frontend-np', image: '0.8.0' },
];

if (seedsMissing !== undefined) console.log(`seeds are not run: ${seedsMissing}`);

function has(program: string): boolean {
  try {
    execFileSync('bash', ['-c', `command -v ${program}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
const missingTools = ['curl', 'jq', 'python3'].filter((program) => !has(program));
if (missingTools.length > 0) console.log(`the seeds' requests are not sent: no ${missingTools.join(', ')} on PATH`);

describe.skipIf(seedsMissing !== undefined)('the seeds’ graphs, unchanged', () => {
  let stack: Stack;
  let shell: SeedShell;
  const run = async (seed: string, ...parts: string[]): Promise<CellRun & { text: string }> => {
    const { text } = seedCell(seed, ...parts);
    return { ...(await shell.run(text, 6 * minutes)), text };
  };

  beforeAll(async () => {
    stack = await startStack({ components: ['controlplane', 'nodeagent', 'operator'], gpus: 2 });
    shell = seedShell(stack);
    const kubectl = (...args: string[]): Promise<string> => stack.kubectlOutput(args, { timeoutMs: 2 * minutes });
    // What earlier labs leave behind: the namespace, the token, and (in place of the Helm chart) NATS.
    await kubectl('create', 'namespace', 'dynamo');
    await kubectl('create', 'secret', 'generic', 'hf-token-secret', '-n', 'dynamo', '--from-literal=HF_TOKEN=none');
    await kubectl('apply', '-f', natsManifest);
    await kubectl('rollout', 'status', 'statefulset/nats', '-n', 'nats-system', '--timeout=100s');
  });
  afterAll(async () => {
    shell?.[Symbol.dispose]();
    await stack?.close();
  });

  it('finds NATS where seed 003 looks for it', async () => {
    const { output } = await run('003', 'Expected output:', 'nats-0 (1/1 Running)');
    expect(output).toMatch(/^nats-0\s+1\/1\s+Running/m);
    expect(output).toMatch(/^nats\s+ClusterIP\s.*4222\/TCP/m);
  });

  it('shows the GPUs of the node', async () => {
    const { output } = await run('003', 'Final GPU Check');
    expect(output).toMatch(/NAME\s+TOTAL\s+ALLOCATABLE\n\S+\s+2\s+2\n/);
  });

  it('accepts the PodMonitors of seed 002', async () => {
    await stack.kubectl(['create', 'namespace', 'etcd-system']);
    const { output, calls } = await run('002', 'kind: PodMonitor');
    expect(calls.map((call) => call.code)).toEqual([0, 0]);
    expect(output).toContain('podmonitor.monitoring.coreos.com/nats created');
  });

  describe.each(graphs)('$name (seed $seed)', ({ seed, name, nodePort, image }) => {
    const ofGraph = ['-n', 'dynamo', '-l', `nvidia.com/dynamo-graph-deployment-name=${name}`];

    it('is applied by real kubectl with the seed’s bytes, and stored whole', async () => {
      const { text, calls, output } = await run(seed, 'kind: DynamoGraphDeployment', `name: ${name}`);
      expect(calls).toHaveLength(1);
      expect(calls[0]).toMatchObject({ args: ['apply', '-f', '-'], code: 0 });
      expect(calls[0]!.stdin).toBe(hereDocument(text, variables));
      expect(output).toContain(`dynamographdeployment.nvidia.com/${name} created`);
      expect(output).not.toMatch(/warning/i);
      const stored = await stack.kube.get<KubeObject>(resourceType.graph, name, 'dynamo');
      expect(stored['spec']).toEqual((parse(calls[0]!.stdin!) as KubeObject)['spec']);
    });

    it('gets its NodePort Service, unchanged too', async () => {
      const { text, calls } = await run(seed, 'kind: Service', `name: ${nodePort}`);
      const applied = calls.find((call) => call.stdin !== undefined);
      expect(applied?.stdin).toBe(hereDocument(text, variables));
      expect(applied?.code).toBe(0);
    });

    it('becomes Ready while the seed waits', { timeout: 7 * minutes }, async () => {
      // `kubectl wait` waits for the pods it finds when it starts; a person's next cell starts later than a test's.
      await expect.poll(async () => (await stack.kubectl(['get', 'pods', ...ofGraph, '-o', 'name'])).stdout.trim().split('\n'), eventually).toHaveLength(3);
      const { output, calls } = await run(seed, 'kubectl wait --for=condition=ready', name);
      const described = calls[0]?.code === 0 ? '' : (await stack.kubectl(['describe', 'pods', ...ofGraph])).stdout;
      expect(described).toBe('');
      expect(calls[0]?.args.slice(0, 2)).toEqual(['wait', '--for=condition=ready']);
      expect(output.match(/condition met/g)).toHaveLength(3);
      expect(output).not.toContain('Pods are initializing...');
      expect(output.match(new RegExp(`^${name}-frontend-[0-9a-f]+-\\w{5}\\s+1/1\\s+Running`, 'gm'))).toHaveLength(1);
      expect(output.match(new RegExp(`^${name}-vllmworker-[0-9a-f]+-\\w{5}\\s+1/1\\s+Running`, 'gm'))).toHaveLength(2);
    });

    it('has the pods of its runtime release', async () => {
      const images = await stack.kubectl(['get', 'pods', ...ofGraph, '-o', 'jsonpath={.items[*].spec.containers[0].image}']);
      expect(new Set(images.stdout.split(' '))).toEqual(new Set([`nvcr.io/nvidia/ai-dynamo/vllm-runtime:${image}`]));
      await expect.poll(async () => (await stack.kubectl(['get', 'dgd', name, '-n', 'dynamo', '--no-headers'])).stdout, eventually).toMatch(/\sTrue\s/);
    });

    it.skipIf(missingTools.length > 0)('answers the seed’s request at its NodePort', async () => {
      const { output } = await run(seed, 'echo "Testing inference..."', '"max_tokens": 50');
      if (seed === '002') {
        expect(output).toMatch(/"model": "Qwen\/Qwen2\.5-1\.5B-Instruct"/);
        expect(output).toMatch(/"role": "assistant"/);
        expect(output).toContain('dynamo-labs:tiny standing in for Qwen/Qwen2.5-1.5B-Instruct');
      } else {
        const answer = output
          .split('\n')
          .slice(1)
          .find((line) => line.trim() !== '');
        expect(answer).not.toBe('null');
        expect(output).not.toContain('parse error');
      }
    });

    it('is deleted by the seed’s lines, with all that it made', { timeout: 4 * minutes }, async () => {
      if (seed === '003') await beforeDeletion(run);
      const { calls, output } = await run(seed, `kubectl delete dynamographdeployment ${name}`, `kubectl delete svc ${nodePort}`);
      expect(calls.map((call) => call.code)).toEqual([0, 0]);
      expect(output).toMatch(new RegExp(`dynamographdeployment.nvidia.com "${name}" deleted`));
      await expect
        .poll(
          async () =>
            (await stack.kubectl(['get', 'dgd,dcd,deploy,rs,pods,svc,endpointslices,sa,role,rolebinding,dynamoworkermetadatas', ...ofGraph, '-o', 'name']))
              .stdout,
          eventually,
        )
        .toBe('');
      expect((await stack.kubectl(['get', 'pods,svc,dynamoworkermetadatas', '-n', 'dynamo', '-o', 'name'])).stdout).toBe('');
    });
  });
});

/** The looking-around cells of seed 003, on the living graph. */
async function beforeDeletion(run: (seed: string, ...parts: string[]) => Promise<CellRun>): Promise<void> {
  const status = await run('003', 'kubectl describe dynamographdeployment vllm-kv-demo');
  expect(status.output).toMatch(/Reason:\s+all_resources_are_ready/);
  expect(status.output).toMatch(/Normal\s+Reconciling\s/);
  expect(status.calls.map((call) => call.code)).toEqual([0, 0, 0]);

  const discovery = await run('003', 'kubectl get endpointslices -n $NAMESPACE');
  expect(discovery.calls.map((call) => call.code)).toEqual([0, 0, 0, 0]);
  expect(discovery.output).toMatch(/^vllm-kv-demo-vllmworker\s+\S+:9090,\S+:9090/m);
  expect(discovery.output).toMatch(/^vllm-kv-frontend-np\s+NodePort\s.*8000:30200\/TCP/m);

  const logs = await run('003', 'Checking worker logs for cache events...');
  expect(logs.output.match(/=== Worker: vllm-kv-demo-vllmworker-/g)).toHaveLength(2);
  expect(logs.calls.map((call) => call.code)).toEqual([0, 0, 0]);
  expect(logs.output).not.toContain('No cache messages in recent logs');

  const cache = await run('003', 'Checking cache activity in worker logs...');
  expect(cache.output).toMatch(/Worker pod: vllm-kv-demo-vllmworker-/);

  if (missingTools.length === 0) {
    const models = await run('003', 'curl -v http://$NODE_IP:30200/v1/models');
    expect(models.output).toContain('"Qwen/Qwen2.5-1.5B-Instruct"');
    expect(models.calls.map((call) => call.code)).toEqual([0, 0, 0]);
  }
}
