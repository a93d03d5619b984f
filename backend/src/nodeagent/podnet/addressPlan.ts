/** The cluster's IPv4 ranges; native/podinit/src/address_plan.h holds the same numbers. */
export const addressPlan = {
  /** Pods: 10.244.0.0/16. 10.244.0.x stays free for the node side; pods start at 10.244.1.2. */
  podPrefix: '10.244',
  /** The node side of the pod network; what nodes dial from. */
  podGateway: '10.244.0.1',
  /** Services: 10.96.0.0/16. */
  servicePrefix: '10.96',
  /** The `kubernetes` Service of the default namespace. */
  kubernetesService: '10.96.0.1',
  clusterDns: '10.96.0.10',
  /** Nodes: 10.240.0.0/24; node n (from 1) is 10.240.0.n. */
  nodePrefix: '10.240.0',
  clusterDomain: 'cluster.local',
} as const;

const firstPod = 0x0102;
const lastPod = 0xfeff;

/** Pod number 0, 1, … as an address; undefined behind the last. Hosts .0 and .255 of each /24 are not used. */
export function podAddress(index: number): string | undefined {
  const host = firstPod + Math.floor(index / 254) * 256 + (index % 254);
  const third = host >> 8;
  const fourth = host & 255;
  if (host > lastPod) return undefined;
  return `${addressPlan.podPrefix}.${third}.${fourth === 255 ? 1 : fourth}`;
}
