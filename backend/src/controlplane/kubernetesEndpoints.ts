import { setTimeout as sleep } from 'node:timers/promises';
import type { KubeClient } from '../kube/index.ts';

/**
 * Gives the `kubernetes` Service its endpoints, which the API server does not write itself on a loopback address. The
 * address is the first node's: pods reach the Service's ClusterIP through the node agent, which forwards to the API server.
 */
export async function applyKubernetesEndpoints(kube: KubeClient, port: number, signal: AbortSignal): Promise<void> {
  // The API server is ready before it has made the namespace `default`.
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(30_000)]);
  while ((await kube.find({ group: '', version: 'v1', plural: 'namespaces' }, 'default', undefined, deadline)) === undefined) {
    await sleep(50, undefined, { signal: deadline });
  }
  const metadata = { name: 'kubernetes', namespace: 'default' };
  const address = '10.240.0.1';
  await kube.apply(
    { group: '', version: 'v1', plural: 'endpoints' },
    {
      apiVersion: 'v1',
      kind: 'Endpoints',
      metadata: { ...metadata, labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } },
      subsets: [{ addresses: [{ ip: address }], ports: [{ name: 'https', port, protocol: 'TCP' }] }],
    },
    'dynamo-labs',
  );
  await kube.apply(
    { group: 'discovery.k8s.io', version: 'v1', plural: 'endpointslices' },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'kubernetes' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: [address], conditions: { ready: true } }],
      ports: [{ name: 'https', port, protocol: 'TCP' }],
    },
    'dynamo-labs',
  );
}
