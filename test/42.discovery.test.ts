import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KubeObject, ResourceType } from '../backend/src/kube/index.ts';
import { createLogger } from '../backend/src/observability/index.ts';
import { discoveryContract, InstanceView, testInstance } from '../backend/src/runtime/discovery/discovery.contract.ts';
import { instanceIdOfPod, KubernetesDiscovery } from '../backend/src/runtime/index.ts';
import { eventually } from './support/servingGroup.ts';
import { type Stack, startStack } from './support/stack.ts';

const pods: ResourceType = { group: '', version: 'v1', plural: 'pods' };
const slices: ResourceType = { group: 'discovery.k8s.io', version: 'v1', plural: 'endpointslices' };
const metadata: ResourceType = { group: 'nvidia.com', version: 'v1alpha1', plural: 'dynamoworkermetadatas' };
const namespace = 'default';

let stack: Stack;
const lines: string[] = [];
const logger = createLogger({ target: 'dynamo_runtime', write: (line) => lines.push(line) });

/** Pods that no node takes: they exist, own their metadata, and are as ready as the test's EndpointSlice says. */
class PodRoom {
  readonly #name = `room-${randomBytes(3).toString('hex')}`;
  readonly #ready = new Map<string, boolean>();
  readonly #members: KubernetesDiscovery[] = [];
  readonly #podOf = new Map<KubernetesDiscovery, string>();
  #created = 0;

  async addPod(): Promise<{ name: string; uid: string }> {
    const name = `${this.#name}-worker-${this.#created++}`;
    const spec = { nodeSelector: { nowhere: 'true' }, containers: [{ name: 'main', image: 'none' }] };
    const pod = await stack.kube.create(pods, { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace }, spec });
    return { name, uid: pod.metadata.uid ?? '' };
  }

  member(pod: { name: string; uid: string }): KubernetesDiscovery {
    const member = new KubernetesDiscovery({ client: stack.kube, podName: pod.name, podNamespace: namespace, podUid: pod.uid, logger, debounceMs: 50 });
    this.#members.push(member);
    this.#podOf.set(member, pod.name);
    return member;
  }

  async setReady(pod: string, ready: boolean, port = 'system'): Promise<void> {
    this.#ready.set(pod, ready);
    const slice: KubeObject = {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: this.#name, namespace, labels: { 'nvidia.com/dynamo-discovery-enabled': 'true' } },
      addressType: 'IPv4',
      ports: [{ name: port, port: 9090, protocol: 'TCP' }],
      endpoints: [...this.#ready].map(([name, isReady], index) => ({
        addresses: [`10.244.9.${index + 1}`],
        conditions: { ready: isReady },
        targetRef: { kind: 'Pod', name, namespace },
      })),
    };
    await stack.kube.apply(slices, slice, 'test');
  }

  async kill(member: KubernetesDiscovery): Promise<void> {
    const pod = this.#podOf.get(member) ?? '';
    await stack.kube.delete(pods, pod, namespace, { gracePeriodSeconds: 0 });
    await this.setReady(pod, false);
  }

  async close(): Promise<void> {
    await Promise.all(this.#members.map((member) => member.close()));
    await stack.kube.delete(slices, this.#name, namespace);
    for (const pod of this.#ready.keys()) await stack.kube.delete(pods, pod, namespace, { gracePeriodSeconds: 0 });
  }
}

beforeAll(async () => {
  stack = await startStack({ components: ['controlplane'] });
});
afterAll(async () => stack?.close());

discoveryContract('kubernetes', async () => {
  const room = new PodRoom();
  const prepared = await Promise.all(Array.from({ length: 3 }, () => room.addPod()));
  for (const { name } of prepared) await room.setReady(name, true);
  return {
    join: () => {
      const pod = prepared.shift();
      if (pod === undefined) throw new Error('the contract needs more pods than the room has');
      return room.member(pod);
    },
    kill: (member) => room.kill(member as KubernetesDiscovery),
    close: () => room.close(),
  };
});

describe('Kubernetes discovery', () => {
  it('writes a DynamoWorkerMetadata as Dynamo’s workers do, owned by its pod, and it goes with the pod', async () => {
    const room = new PodRoom();
    const pod = await room.addPod();
    await room.member(pod).register(testInstance);
    const written = await stack.kube.get(metadata, pod.name, namespace);
    const id = instanceIdOfPod(pod.name);
    const key = `dynamo/backend/generate/${id.toString(16)}`;
    expect(written.metadata.ownerReferences).toMatchObject([{ kind: 'Pod', name: pod.name, uid: pod.uid }]);
    const { data } = written['spec'] as { data: Record<string, Record<string, unknown>> };
    expect(data['endpoints']?.[key]).toEqual({
      type: 'Endpoint',
      namespace: 'dynamo',
      component: 'backend',
      endpoint: 'generate',
      instance_id: Number(id),
      transport: { tcp: '127.0.0.1:1' },
    });
    expect(data['model_cards']?.[key]).toMatchObject({ type: 'Model', card_json: { display_name: 'Qwen/Qwen2.5-1.5B-Instruct' } });
    expect(lines.join('')).toContain(`Registering endpoint: namespace=dynamo, component=backend, endpoint=generate, instance_id=${id.toString(16)}`);
    await stack.kube.delete(pods, pod.name, namespace, { gracePeriodSeconds: 0 });
    await eventually(
      () => stack.kube.find(metadata, pod.name, namespace),
      (found) => found === undefined,
    );
    await room.close();
  });

  it('needs readiness and metadata, both, and a port named system', async () => {
    const room = new PodRoom();
    const [pod, other] = [await room.addPod(), await room.addPod()];
    const view = new InstanceView();
    await room.member(other).watch(view);
    await room.member(pod).register(testInstance);
    await room.setReady(pod.name, true, 'http');
    await eventually(
      async () => lines.join(''),
      (log) => log.includes('did not have a system port defined'),
    );
    expect(view.instances.size).toBe(0);
    await room.setReady(pod.name, true);
    await view.until((instances) => instances.get(instanceIdOfPod(pod.name))?.pod === pod.name);
    await room.setReady(pod.name, false);
    await view.until((instances) => instances.size === 0);
    await room.close();
  });
});
