import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DynamoGraphDeployment } from '../backend/src/operator/graphTypes.ts';
import { resourceType } from '../backend/src/operator/names.ts';
import { finishDeletions, reportPods } from './support/fakeKubelet.ts';
import { type OperatorProcess, startOperator } from './support/operatorProcess.ts';
import { assets, startOperatorStack, type OperatorStack } from './support/operatorStack.ts';
import type { Stack } from './support/stack.ts';

const manifest = readFileSync(path.join(assets, 'graphs/agg-router.yaml'), 'utf8');
const ofGraph = ['-n', 'dynamo', '-l', 'nvidia.com/dynamo-graph-deployment-name=vllm-agg-router'];

let started: OperatorStack;
let stack: Stack;
let operator: OperatorProcess;
const kubectl = (...args: string[]): Promise<string> => started.kubectl(...args);

const graph = (name = 'vllm-agg-router'): Promise<DynamoGraphDeployment> => stack.kube.get<DynamoGraphDeployment>(resourceType.graph, name, 'dynamo');
const ready = async (name?: string): Promise<string> => {
  const condition = (await graph(name)).status?.conditions?.find((item) => item.type === 'Ready');
  return `${condition?.status} ${condition?.reason}`;
};
const names = async (kind: string): Promise<string[]> =>
  (await kubectl('get', kind, ...ofGraph, '-o', 'jsonpath={.items[*].metadata.name}')).split(' ').filter(Boolean).sort();
const childKinds = ['dcd', 'deployments', 'replicasets', 'pods', 'services', 'endpointslices', 'serviceaccounts', 'roles', 'rolebindings'];
const eventually = { timeout: 30_000, interval: 100 };

beforeAll(async () => {
  started = await startOperatorStack();
  ({ stack, operator } = started);
});
afterAll(() => started?.close());

describe('a graph', () => {
  it('becomes components, Deployments, Services and its own discovery account', async () => {
    expect((await stack.kubectl(['apply', '-f', '-'], { input: manifest })).stdout).toContain('dynamographdeployment.nvidia.com/vllm-agg-router created');
    const children = ['vllm-agg-router-frontend', 'vllm-agg-router-vllmworker'];
    for (const kind of ['dcd', 'deployments', 'services']) await expect.poll(() => names(kind), eventually).toEqual(children);
    expect(await names('serviceaccounts')).toEqual(['vllm-agg-router-k8s-service-discovery']);
    expect(await names('roles')).toEqual(['vllm-agg-router-k8s-service-discovery-role']);
    expect(await names('rolebindings')).toEqual(['vllm-agg-router-k8s-service-discovery-binding']);
    await expect.poll(async () => (await names('pods')).length, eventually).toBe(3);
    expect(await kubectl('get', 'dcd', 'vllm-agg-router-vllmworker', '-n', 'dynamo', '-o', 'jsonpath={.spec.backendFramework}')).toBe('vllm');
  });

  it('has workers with the labels, ports, probes and environment of their runtime release', async () => {
    const pod = JSON.parse(await kubectl('get', 'pods', ...ofGraph, '-l', 'nvidia.com/dynamo-component=VllmWorker', '-o', 'jsonpath={.items[0]}')) as {
      metadata: { labels: Record<string, string> };
      spec: {
        serviceAccountName: string;
        terminationGracePeriodSeconds: number;
        containers: { name: string; env: { name: string; value?: string }[]; livenessProbe: object; resources: object; command: string[] }[];
      };
    };
    const main = pod.spec.containers[0]!;
    expect(pod.metadata.labels).toMatchObject({
      'nvidia.com/selector': 'vllm-agg-router-vllmworker',
      'nvidia.com/dynamo-namespace': 'dynamo-vllm-agg-router',
      'nvidia.com/dynamo-component-type': 'worker',
      'nvidia.com/metrics-enabled': 'true',
    });
    expect(pod.spec).toMatchObject({ serviceAccountName: 'vllm-agg-router-k8s-service-discovery', terminationGracePeriodSeconds: 60 });
    expect(main).toMatchObject({
      name: 'main',
      command: ['/bin/sh', '-c'],
      livenessProbe: { httpGet: { path: '/live', port: 'system' }, periodSeconds: 5, timeoutSeconds: 4, failureThreshold: 1 },
      resources: { limits: { 'nvidia.com/gpu': '1' }, requests: { 'nvidia.com/gpu': '1' } },
    });
    const env = Object.fromEntries(main.env.map(({ name, value }) => [name, value]));
    expect(env).toMatchObject({
      DYN_NAMESPACE: 'dynamo-vllm-agg-router',
      DYN_HEALTH_CHECK_ENABLED: 'false',
      NATS_SERVER: 'nats://nats.nats-system:4222',
      DYN_DISCOVERY_BACKEND: 'kubernetes',
    });
    expect(main.env.map(({ name }) => name)).toEqual(main.env.map(({ name }) => name).sort());
  });

  it('mirrors the discovery labels onto EndpointSlices, with a port named system', async () => {
    await expect
      .poll(
        () =>
          kubectl(
            'get',
            'endpointslices',
            ...ofGraph,
            '-l',
            'nvidia.com/dynamo-discovery-enabled=true,nvidia.com/dynamo-component-type=worker',
            '-o',
            'jsonpath={.items[0].metadata.name}',
          ),
        eventually,
      )
      .toContain('vllm-agg-router-vllmworker-');
  });

  it('lets its pods use discovery and nothing else', async () => {
    const can = async (...args: string[]): Promise<string> =>
      (
        await stack.kubectl(['auth', 'can-i', ...args, '-n', 'dynamo', '--as=system:serviceaccount:dynamo:vllm-agg-router-k8s-service-discovery'])
      ).stdout.trim();
    expect(await can('watch', 'endpointslices.discovery.k8s.io')).toBe('yes');
    expect(await can('patch', 'dynamoworkermetadatas.nvidia.com')).toBe('yes');
    expect(await can('get', 'secrets')).toBe('no');
    expect(await can('create', 'pods')).toBe('no');
  });

  it('is pending until its pods are ready, then successful, and pending again', async () => {
    await expect.poll(() => ready(), eventually).toBe('False some_resources_are_not_ready');
    expect((await graph()).status?.state).toBe('pending');
    await expect.poll(() => reportPods(stack.kube, 'dynamo', true), eventually).toBe(3);
    await expect.poll(() => ready(), eventually).toBe('True all_resources_are_ready');
    const { status, metadata } = await graph();
    expect(status).toMatchObject({
      state: 'successful',
      observedGeneration: metadata.generation,
      services: {
        VllmWorker: {
          componentKind: 'Deployment',
          componentName: 'vllm-agg-router-vllmworker',
          replicas: 2,
          updatedReplicas: 2,
          readyReplicas: 2,
          availableReplicas: 2,
        },
      },
    });
    await kubectl('wait', 'dgd/vllm-agg-router', '-n', 'dynamo', '--for=condition=Ready', '--timeout=10s');
    expect(await kubectl('get', 'dgd', '-n', 'dynamo', '--no-headers')).toMatch(/^vllm-agg-router\s+True\s/);
    await reportPods(stack.kube, 'dynamo', false);
    await expect.poll(() => ready(), eventually).toBe('False some_resources_are_not_ready');
    await reportPods(stack.kube, 'dynamo', true);
    await expect.poll(() => ready(), eventually).toBe('True all_resources_are_ready');
  });

  it('shows its conditions and events to kubectl describe', async () => {
    const text = await kubectl('describe', 'dynamographdeployment', 'vllm-agg-router', '-n', 'dynamo');
    expect(text).toMatch(/Reason:\s+all_resources_are_ready/);
    expect(text).toMatch(/Normal\s+Reconciling\s.*Starting to reconcile DynamoGraphDeployment/);
    expect(text).toMatch(/Normal\s+Update\s.*All resources updated!/);
  });

  it('scales by a merge patch; a strategic one is refused by the server', async () => {
    const patch = JSON.stringify({ spec: { services: { VllmWorker: { replicas: 3 } } } });
    const strategic = await stack.kubectl(['patch', 'dgd', 'vllm-agg-router', '-n', 'dynamo', '--type', 'strategic', '-p', patch]);
    expect(strategic.code).not.toBe(0);
    await kubectl('patch', 'dgd', 'vllm-agg-router', '-n', 'dynamo', '--type', 'merge', '-p', patch);
    await expect
      .poll(() => kubectl('get', 'deployment', 'vllm-agg-router-vllmworker', '-n', 'dynamo', '-o', 'jsonpath={.spec.replicas}'), eventually)
      .toBe('3');
    await expect.poll(() => reportPods(stack.kube, 'dynamo', true), eventually).toBe(4);
    await expect.poll(() => ready(), eventually).toBe('True all_resources_are_ready');
  });

  it('repairs what others change or delete', async () => {
    await kubectl('delete', 'service', 'vllm-agg-router-frontend', '-n', 'dynamo');
    await kubectl('scale', 'deployment', 'vllm-agg-router-vllmworker', '-n', 'dynamo', '--replicas=1');
    await kubectl('delete', 'role', 'vllm-agg-router-k8s-service-discovery-role', '-n', 'dynamo');
    await expect.poll(() => names('services'), eventually).toContain('vllm-agg-router-frontend');
    await expect.poll(() => names('roles'), eventually).toEqual(['vllm-agg-router-k8s-service-discovery-role']);
    await expect
      .poll(() => kubectl('get', 'deployment', 'vllm-agg-router-vllmworker', '-n', 'dynamo', '-o', 'jsonpath={.spec.replicas}'), eventually)
      .toBe('3');
  });

  it('follows a changed manifest: fields that are gone from it go, a service that is gone goes', async () => {
    await kubectl('patch', 'dgd', 'vllm-agg-router', '-n', 'dynamo', '--type', 'json', '-p', '[{"op":"remove","path":"/spec/envs"}]');
    const env = (): Promise<string> =>
      kubectl('get', 'deployment', 'vllm-agg-router-vllmworker', '-n', 'dynamo', '-o', 'jsonpath={.spec.template.spec.containers[0].env[*].name}');
    await expect.poll(env, eventually).not.toContain('NATS_SERVER');
    await kubectl('patch', 'dgd', 'vllm-agg-router', '-n', 'dynamo', '--type', 'json', '-p', '[{"op":"remove","path":"/spec/services/Frontend"}]');
    for (const kind of ['dcd', 'deployments', 'services']) await expect.poll(() => names(kind), eventually).toEqual(['vllm-agg-router-vllmworker']);
    await expect.poll(async () => Object.keys((await graph()).status?.services ?? {}), eventually).toEqual(['VllmWorker']);
  });

  it('takes everything it made with it when it is deleted', async () => {
    await kubectl('delete', 'dynamographdeployment', 'vllm-agg-router', '-n', 'dynamo');
    await expect
      .poll(async () => {
        await finishDeletions(stack.kube, 'dynamo');
        const left = await Promise.all(childKinds.map(async (kind) => (await names(kind)).map((name) => `${kind}/${name}`)));
        return left.flat();
      }, eventually)
      .toEqual([]);
  });

  it('can be deleted and made again at once', async () => {
    await stack.kubectl(['apply', '-f', '-'], { input: manifest });
    await expect.poll(() => names('deployments'), eventually).toHaveLength(2);
    const uid = (await graph()).metadata.uid;
    await kubectl('delete', 'dgd', 'vllm-agg-router', '-n', 'dynamo');
    await stack.kubectl(['apply', '-f', '-'], { input: manifest });
    await expect
      .poll(async () => {
        await finishDeletions(stack.kube, 'dynamo');
        const owners = JSON.parse(await kubectl('get', 'dcd', ...ofGraph, '-o', 'json')) as {
          items: { metadata: { ownerReferences: { uid: string }[]; deletionTimestamp?: string } }[];
        };
        return owners.items
          .filter((item) => item.metadata.deletionTimestamp === undefined)
          .flatMap((item) => item.metadata.ownerReferences.map((owner) => owner.uid !== uid));
      }, eventually)
      .toEqual([true, true]);
    await expect.poll(async () => (await graph()).status?.state, eventually).not.toBe('failed');
    await kubectl('delete', 'dgd', 'vllm-agg-router', '-n', 'dynamo');
  });

  it('creates the claims it is asked for, and says which one is missing', async () => {
    const withClaims = (create: boolean): string =>
      `apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nmetadata: { name: claims, namespace: dynamo }\nspec:\n  pvcs: [{ name: model-cache, create: ${create}, size: 1Gi, storageClass: local-dir, volumeAccessMode: ReadWriteMany }]\n  services: { Frontend: { componentType: frontend, extraPodSpec: { mainContainer: { image: busybox } } } }\n`;
    await stack.kubectl(['apply', '-f', '-'], { input: withClaims(false) });
    await expect
      .poll(async () => (await graph('claims')).status?.conditions?.[0]?.message, eventually)
      .toContain('persistentvolumeclaims "model-cache" not found');
    expect((await graph('claims')).status?.state).toBe('failed');
    await stack.kubectl(['apply', '-f', '-'], { input: withClaims(true) });
    await expect
      .poll(() => kubectl('get', 'pvc', 'model-cache', '-n', 'dynamo', '--ignore-not-found', '-o', 'jsonpath={.metadata.ownerReferences[0].name}'), eventually)
      .toBe('claims');
    await expect.poll(async () => (await graph('claims')).status?.state, eventually).toBe('pending');
    await kubectl('delete', 'dgd', 'claims', '-n', 'dynamo');
  });

  it('says why it cannot be rendered, and what breaks a rule that the schema cannot state', async () => {
    const services = (text: string): string =>
      `apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nmetadata: { name: wrong, namespace: dynamo }\nspec: { services: { ${text} } }\n`;
    await stack.kubectl(['apply', '-f', '-'], { input: services('W: { componentType: worker, multinode: { nodeCount: 2 } }') });
    await expect.poll(() => ready('wrong'), eventually).toBe('False failed_to_reconcile_the_resources');
    expect((await graph('wrong')).status?.conditions?.[0]?.message).toBe('no multinode orchestrator available');
    await stack.kubectl(['replace', '-f', '-'], { input: services('a_b: { componentType: worker }') });
    await expect.poll(() => ready('wrong'), eventually).toBe('False ValidationFailed');
    await expect
      .poll(() => kubectl('describe', 'dgd', 'wrong', '-n', 'dynamo'), eventually)
      .toMatch(/Warning\s+ValidationFailed\s.*name must consist of letters, digits and '-'/);
    await kubectl('delete', 'dgd', 'wrong', '-n', 'dynamo');
  });
});

describe('the operator', () => {
  it('answers probes and counts its work under controller-runtime’s names', async () => {
    expect((await fetch(`${operator.url}/healthz`)).status).toBe(200);
    expect((await fetch(`${operator.url}/readyz`)).status).toBe(200);
    expect((await fetch(`${operator.url}/nothing`)).status).toBe(404);
    const metrics = await (await fetch(`${operator.url}/metrics`)).text();
    expect(metrics).toMatch(/controller_runtime_reconcile_total\{controller="dynamographdeployment",result="success"\} [1-9]/);
    expect(metrics).toMatch(/leader_election_master_status\{name="dynamo-operator-leader-election"\} 1/);
  });

  it('was never refused by the API server for want of rights', () => {
    expect(operator.log()).not.toMatch(/forbidden|cannot (get|list|watch|create|patch|delete)/i);
  });

  it('leads alone, and hands over when it is told to stop: the successor changes nothing that is right', async () => {
    const versions = (): Promise<string> =>
      kubectl(
        'get',
        'dgd,dcd,deployments,services,roles,rolebindings',
        '-n',
        'dynamo',
        '-o',
        'jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{"\\n"}{end}',
      );
    await kubectl('apply', '-f', path.join(assets, 'graphs/agg.yaml'));
    await expect.poll(() => reportPods(stack.kube, 'dynamo', true), eventually).toBe(2);
    await expect.poll(() => ready('vllm-agg'), eventually).toBe('True all_resources_are_ready');
    const before = await versions();
    expect(before).toContain('Deployment/vllm-agg-vllmworker ');

    await using second = await startOperator(stack);
    await expect.poll(() => second.log(), eventually).toContain('Caches are filled');
    expect(second.log()).not.toContain('became leader');
    expect(await operator.stop()).toBe(0);
    await expect.poll(() => second.log(), eventually).toContain('became leader');
    const reconciled = /controller_runtime_reconcile_total\{controller="dynamocomponentdeployment",result="success"\} ([2-9]|\d\d)/;
    await expect.poll(async () => (await fetch(`${second.url}/metrics`)).text(), eventually).toMatch(reconciled);
    expect(await versions()).toBe(before);

    await kubectl('delete', 'dgd', 'vllm-agg', '-n', 'dynamo');
    await kubectl('apply', '-f', path.join(assets, 'graphs/agg.yaml'));
    await expect.poll(() => kubectl('get', 'deployments', '-n', 'dynamo', '-o', 'name'), eventually).toContain('deployment.apps/vllm-agg-vllmworker');
    await kubectl('delete', 'dgd', 'vllm-agg', '-n', 'dynamo');
  });
});
