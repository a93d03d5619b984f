import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Stack, startStack } from './support/stack.ts';

const eventually = { timeout: 90_000, interval: 250 };

/** Two workers as the 0.7 operator makes them: canary on, `/live` checked by a liveness probe that forgives nothing. The second is slow to become ready. */
const graph = `
apiVersion: nvidia.com/v1alpha1
kind: DynamoGraphDeployment
metadata: { name: canary, namespace: dynamo }
spec:
  services:
    Prompt: &worker
      componentType: worker
      replicas: 1
      extraPodSpec:
        mainContainer: &container
          image: nvcr.io/nvidia/ai-dynamo/vllm-runtime:0.7.1
          command: [python3, -m, dynamo.vllm]
          args: [--model, any/model, --no-enable-prefix-caching]
          env: [{ name: DYN_CANARY_WAIT_TIME, value: "4" }]
          startupProbe: { httpGet: { path: /live, port: system }, periodSeconds: 1, failureThreshold: 600 }
          readinessProbe: { httpGet: { path: /health, port: system }, periodSeconds: 1 }
    Slow:
      <<: *worker
      extraPodSpec:
        mainContainer:
          <<: *container
          readinessProbe: { httpGet: { path: /health, port: system }, initialDelaySeconds: 300 }
`;

describe('canary health check in a cluster', () => {
  let stack: Stack;
  const kubectl = (...args: string[]): Promise<string> => stack.kubectlOutput(args);
  const pod = async (service: string): Promise<string> => {
    const selector = `nvidia.com/dynamo-component=${service}`;
    return (await kubectl('get', 'pods', '-n', 'dynamo', '-l', selector, '-o', 'jsonpath={.items[0].metadata.name}')).trim();
  };
  const status = (name: string): Promise<string> =>
    kubectl('get', 'pod', name, '-n', 'dynamo', '-o', 'jsonpath={.status.containerStatuses[0].ready} {.status.containerStatuses[0].restartCount}');
  const notFound = /Health check request failed for generate: instance_id=\d+ not found for endpoint "v1\/instances\/dynamo-canary\/backend\/generate"/;

  beforeAll(async () => {
    stack = await startStack({ components: ['controlplane', 'nodeagent', 'operator'] });
    await kubectl('create', 'namespace', 'dynamo');
    const applied = await stack.kubectl(['apply', '-f', '-'], { input: graph });
    expect(applied.stderr).toBe('');
    await vi.waitFor(async () => Promise.all([pod('Prompt'), pod('Slow')]), eventually);
  });
  afterAll(async () => stack?.close());

  it('leaves a worker alone that discovery shows, and restarts it when it is no longer found there', async () => {
    const name = await pod('Prompt');
    await expect.poll(() => status(name), eventually).toBe('true 0');
    const steps = async (): Promise<number> =>
      (JSON.parse(await kubectl('exec', name, '-n', 'dynamo', '--', 'curl', '-s', 'localhost:9090/engine/state')) as { engine: { steps: number } }).engine
        .steps;
    await expect.poll(steps, eventually).toBeGreaterThan(1);
    expect(await status(name)).toBe('true 0');
    await kubectl('delete', 'dynamoworkermetadata', name, '-n', 'dynamo');
    await expect.poll(() => status(name), eventually).toMatch(/ 1$/);
    expect(await kubectl('logs', name, '-n', 'dynamo', '--previous')).toMatch(notFound);
    // It registers anew, and all is well.
    await expect.poll(() => status(name), eventually).toBe('true 1');
  });

  it('restarts a worker again and again whose pod does not become ready in time', async () => {
    const name = await pod('Slow');
    await expect.poll(() => status(name), eventually).toMatch(/^false [1-9]/);
    expect(await kubectl('logs', name, '-n', 'dynamo', '--previous')).toMatch(notFound);
    expect(await kubectl('describe', 'pod', name, '-n', 'dynamo')).toMatch(/Liveness probe failed: HTTP probe failed with statuscode: 503/);
  });
});
