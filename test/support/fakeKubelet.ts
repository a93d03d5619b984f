import type { KubeClient, KubeObject } from '../../backend/src/kube/index.ts';

interface Pod extends KubeObject {
  spec: { nodeName?: string; containers: { name: string; image: string }[] };
}

const nodes = { group: '', version: 'v1', plural: 'nodes' };
const pods = { group: '', version: 'v1', plural: 'pods' };

const heartbeatMs = 4_000;

/**
 * A node without an agent: pods are scheduled onto it, and run only by what a test writes into their status. It says that
 * it lives until it is disposed of; a silent node would be tainted after the control plane's grace period.
 */
export async function createFakeNode(kube: KubeClient, name: string, gpus: number): Promise<Disposable> {
  const amounts = { cpu: '64', memory: '256Gi', pods: '200', 'ephemeral-storage': '100Gi', 'nvidia.com/gpu': String(gpus) };
  const started = new Date().toISOString();
  const report = (): Promise<unknown> => {
    const ready = {
      type: 'Ready',
      status: 'True',
      reason: 'KubeletReady',
      message: 'fake',
      lastHeartbeatTime: new Date().toISOString(),
      lastTransitionTime: started,
    };
    return kube.patch(nodes, name, undefined, { status: { capacity: amounts, allocatable: amounts, conditions: [ready] } }, { subresource: 'status' });
  };
  await kube.create(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name } });
  await report();
  // A missed heartbeat is made good by the next; a test that ends closes the client under it.
  const timer = setInterval(() => void report().catch(() => {}), heartbeatMs);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** Says of every scheduled pod that its containers run, and are ready or not. */
export async function reportPods(kube: KubeClient, namespace: string, ready: boolean): Promise<number> {
  const list = await kube.list<Pod>(pods, { namespace });
  const scheduled = list.items.filter((pod) => pod.spec.nodeName !== undefined && pod.metadata.deletionTimestamp === undefined);
  const now = new Date().toISOString();
  const status = ready ? 'True' : 'False';
  for (const [index, pod] of scheduled.entries()) {
    await kube.patch(
      pods,
      pod.metadata.name,
      namespace,
      {
        status: {
          phase: 'Running',
          podIP: `10.244.9.${index + 1}`,
          podIPs: [{ ip: `10.244.9.${index + 1}` }],
          conditions: ['Initialized', 'ContainersReady', 'Ready'].map((type) => ({
            type,
            status: type === 'Initialized' ? 'True' : status,
            lastTransitionTime: now,
          })),
          containerStatuses: pod.spec.containers.map(({ name, image }) => ({
            name,
            image,
            imageID: '',
            ready,
            started: true,
            restartCount: 0,
            state: { running: { startedAt: now } },
          })),
        },
      },
      { subresource: 'status' },
    );
  }
  return scheduled.length;
}

/** Ends pods that are being deleted, as a kubelet does when their containers are gone. */
export async function finishDeletions(kube: KubeClient, namespace: string): Promise<void> {
  const list = await kube.list<Pod>(pods, { namespace });
  for (const pod of list.items)
    if (pod.metadata.deletionTimestamp !== undefined) await kube.delete(pods, pod.metadata.name, namespace, { gracePeriodSeconds: 0 });
}
