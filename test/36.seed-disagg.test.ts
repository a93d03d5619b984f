import { readdirSync } from 'node:fs';
import path from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stateLayout } from '../backend/src/controlplane/index.ts';
import type { RequestRecord } from '../backend/src/protocol/requestRecord.ts';
import { portForward } from './support/portForward.ts';
import { eventually as until, getJson } from './support/servingGroup.ts';
import { type Stack, startStack } from './support/stack.ts';

// Seed 004's story, with what its text promises made visible for each request.

const namespace = 'dynamo-cloud';
const manifest = path.resolve(import.meta.dirname, '../assets/graphs/vllm-disagg.yaml');
const model = 'Qwen/Qwen3-0.6B';
const graph = ['-n', namespace, '-l', 'nvidia.com/dynamo-graph-deployment-name=vllm-disagg'];
const prefillPods = ['-n', namespace, '-l', 'nvidia.com/dynamo-sub-component-type=prefill'];
const decodePods = ['-n', namespace, '-l', 'nvidia.com/dynamo-sub-component-type=decode'];
const eventually = { timeout: 90_000, interval: 200 };
const minutes = 60_000;
const longText = `Please analyze this long text: ${'Lorem ipsum dolor sit amet, consectetur adipiscing elit. '.repeat(50)}`;

describe('seed 004: vllm-disagg', { timeout: 5 * minutes }, () => {
  let stack: Stack;
  let forward: { url: string; close: () => void } | undefined;
  const kubectl = (...args: string[]): Promise<string> => stack.kubectlOutput(args, { timeoutMs: 2 * minutes });
  const podNames = async (which: string[]): Promise<string[]> =>
    (await kubectl('get', 'pods', ...which, '-o', 'jsonpath={range .items[?(@.status.phase=="Running")]}{.metadata.name}{"\\n"}{end}'))
      .split('\n')
      .filter(Boolean);
  const graphReady = async (): Promise<void> => {
    await expect.poll(() => kubectl('get', 'dgd', 'vllm-disagg', '-n', namespace, '--no-headers'), eventually).toMatch(/\sTrue\s/);
  };
  const open = async (): Promise<OpenAI> => {
    forward?.close();
    forward = await portForward(stack, namespace, 'service/vllm-disagg-frontend', 8000);
    return new OpenAI({ baseURL: `${forward.url}/v1`, apiKey: 'none', maxRetries: 0, timeout: 60_000 });
  };
  const chat = async (client: OpenAI, content: string, max_tokens = 50): Promise<RequestRecord> => {
    const { response, data } = await client.chat.completions.create({ model, messages: [{ role: 'user', content }], max_tokens }).withResponse();
    expect(data.choices[0]?.message.role).toBe('assistant');
    return until(
      () => getJson<RequestRecord>(`${forward?.url}/requests/${response.headers.get('x-request-id')}`),
      ({ status }) => status !== 'running',
    );
  };
  const metrics = async (pod: string): Promise<string> => kubectl('get', '--raw', `/api/v1/namespaces/${namespace}/pods/${pod}:9090/proxy/metrics`);
  const readBytes = async (pods: string[]): Promise<number> =>
    (await Promise.all(pods.map(metrics)))
      .join('\n')
      .split('\n')
      .filter((line) => line.startsWith('dynamo_labs_kv_transfer_read_bytes_total{'))
      .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  /** Clients that chat until `during` is done; how many requests they made, each of them answered. */
  const underLoad = async (client: OpenAI, during: () => Promise<unknown>): Promise<RequestRecord[]> => {
    let over = false;
    const records: RequestRecord[] = [];
    const clients = Array.from({ length: 4 }, async (_, name) => {
      for (let turn = 0; !over; turn++) records.push(await chat(client, `Client ${name}, turn ${turn}. ${longText}`, 8));
    });
    try {
      await during();
    } finally {
      over = true;
    }
    await Promise.all(clients);
    return records;
  };

  beforeAll(async () => {
    stack = await startStack({ components: ['controlplane', 'nodeagent', 'operator'], gpus: 4 });
    await kubectl('create', 'namespace', namespace);
  });
  afterAll(async () => {
    forward?.close();
    await stack?.close();
  });

  it('is applied and becomes ready: a frontend, a decode worker, a prefill worker', async () => {
    expect(await kubectl('apply', '-f', manifest, '-n', namespace)).toContain('dynamographdeployment.nvidia.com/vllm-disagg created');
    await graphReady();
    const pods = await podNames(graph);
    for (const service of ['frontend', 'vllmdecodeworker', 'vllmprefillworker'])
      expect(pods.filter((name) => new RegExp(`^vllm-disagg-${service}-[0-9a-f]+-\\w{5}$`).test(name))).toHaveLength(1);
    expect(await kubectl('get', 'service', 'vllm-disagg-frontend', '-n', namespace, '-o', 'jsonpath={.spec.ports[0].port}')).toBe('8000');
    // All workers of the machine compute with one copy of the weights.
    for (const pod of [...(await podNames(prefillPods)), ...(await podNames(decodePods))])
      expect(JSON.parse(await kubectl('get', '--raw', `/api/v1/namespaces/${namespace}/pods/${pod}:9090/proxy/engine/state`))).toMatchObject({
        model: { weights: { shared: true } },
      });
    // The seed's selector is not the operator's.
    expect((await stack.kubectl(['get', 'pods', '-n', namespace, '-l', 'app=vllm-disagg'])).stderr).toContain('No resources found');
  });

  it('answers over a port-forward, and each answer says which worker computed the prompt and which one read the blocks', async () => {
    const client = await open();
    expect((await fetch(`${forward?.url}/health`)).status).toBe(200);
    const before = await readBytes(await podNames(decodePods));
    const [prefill] = await podNames(prefillPods);
    const [decode] = await podNames(decodePods);
    let bytes = 0;
    for (const content of ['Hello', longText, `${longText} Again.`]) {
      const record = await chat(client, content);
      const length = record.prompt_tokens;
      expect(record).toMatchObject({ path: 'disaggregated', status: 'ok', prefill: { pod: prefill }, decode: [{ pod: decode }] });
      expect(record.prefill?.worker_id).not.toBe(record.decode[0]?.worker_id);
      expect(record.decode[0]?.prompt).toMatchObject({ prompt_tokens: length, computed_tokens: 1 });
      const { transfer } = record;
      expect(transfer).toMatchObject({ status: 'ok', transport: 'shm' });
      expect(transfer?.bytes).toBe((transfer?.blocks ?? NaN) * (transfer?.block_bytes ?? NaN));
      expect((transfer?.blocks ?? NaN) + (record.decode[0]?.prompt?.cached_blocks ?? NaN)).toBe(Math.ceil((length - 1) / 16));
      bytes += transfer?.bytes ?? NaN;
    }
    expect((await readBytes(await podNames(decodePods))) - before).toBe(bytes);
    expect(await kubectl('logs', ...prefillPods, '--tail=-1')).toMatch(/NIXL|transfer|remote/i);
    expect(await kubectl('logs', ...decodePods, '--tail=-1')).toMatch(/NIXL|transfer|remote/i);
  });

  it('scales prefill from 1 to 2 with a merge patch, and no request fails meanwhile', async () => {
    const patch = '{"spec":{"services":{"VllmPrefillWorker":{"replicas":2}}}}';
    const asInTheSeed = await stack.kubectl(['patch', 'dynamographdeployment', 'vllm-disagg', '-n', namespace, '-p', patch]);
    expect(asInTheSeed.code).not.toBe(0);
    expect(asInTheSeed.stderr).toMatch(/strategic-merge-patch\+json is not supported/);
    const client = await open();
    const records = await underLoad(client, async () => {
      await kubectl('patch', 'dynamographdeployment', 'vllm-disagg', '-n', namespace, '--type', 'merge', '-p', patch);
      await expect.poll(async () => (await podNames(prefillPods)).length, eventually).toBe(2);
      await graphReady();
      // Both of them work now.
      const seen = new Set<string | undefined>();
      await until(
        async () => seen.add((await chat(client, `${Math.random()} ${longText}`, 2)).prefill?.pod).size,
        (workers) => workers === 2,
      );
    });
    expect(records.length).toBeGreaterThan(4);
    expect(new Set(records.map(({ path: way }) => way))).toEqual(new Set(['disaggregated']));
  });

  it('without prefill workers the decode worker computes its prompts itself: no request fails, and the record says why', async () => {
    const client = await open();
    const none = '{"spec":{"services":{"VllmPrefillWorker":{"replicas":0}}}}';
    const records = await underLoad(client, async () => {
      await kubectl('patch', 'dynamographdeployment', 'vllm-disagg', '-n', namespace, '--type', 'merge', '-p', none);
      await expect.poll(() => podNames(prefillPods), eventually).toEqual([]);
    });
    const after = await until(
      () => chat(client, longText),
      ({ path: way }) => way === 'aggregated',
    );
    expect(after).toMatchObject({ status: 'ok' });
    expect(after.reason).toMatch(/prefill worker/i);
    expect(after.transfer).toBeUndefined();
    for (const { path: way, status } of records) expect([way, status]).toEqual([expect.stringMatching(/^(disaggregated|fallback|aggregated)$/), 'ok']);
  });

  it('with --enforce-disagg the same is an error that names its cause, until a prefill worker is back', async () => {
    const services = { Frontend: { extraPodSpec: { mainContainer: { args: ['--router-mode', 'kv', '--enforce-disagg'] } } } };
    await kubectl('patch', 'dgd', 'vllm-disagg', '-n', namespace, '--type', 'merge', '-p', JSON.stringify({ spec: { services } }));
    await kubectl('rollout', 'status', 'deployment/vllm-disagg-frontend', '-n', namespace, '--timeout=90s');
    let client = await open();
    await until(
      async () => (await client.models.list().catch(() => ({ data: [] }))).data.length,
      (count) => count === 1,
    );
    const failed = await client.chat.completions.create({ model, messages: [{ role: 'user', content: longText }], max_tokens: 5 }).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failed).toBeInstanceOf(OpenAI.APIError);
    expect(failed).toMatchObject({ status: 503 });
    expect((failed as Error).message).toMatch(/prefill worker/i);
    await kubectl('patch', 'dgd', 'vllm-disagg', '-n', namespace, '--type', 'merge', '-p', '{"spec":{"services":{"VllmPrefillWorker":{"replicas":1}}}}');
    await graphReady();
    client = await open();
    const served = await until(
      () => chat(client, longText).catch(() => undefined),
      (record) => record !== undefined,
    );
    expect(served).toMatchObject({ path: 'disaggregated', status: 'ok' });
  });

  it('is deleted with all that it made', async () => {
    forward?.close();
    await kubectl('delete', 'dynamographdeployment', 'vllm-disagg', '-n', namespace);
    await expect
      .poll(() => kubectl('get', 'dgd,dcd,deploy,rs,pods,svc,endpointslices,role,rolebinding,dynamoworkermetadatas', '-n', namespace, '-o', 'name'), eventually)
      .toBe('');
    const { transfer } = stateLayout({ DYNAMO_LABS_HOME: stack.home });
    expect(readdirSync(transfer).filter((name) => name !== 'token')).toEqual([]);
  });
});
