import { GraphClient, isReady, type ClusterView } from '../validation/index.ts';
import type { RoutingDecision } from '../protocol/index.ts';
import { ApiError } from './apiError.ts';

export interface ClusterStatus {
  ready: boolean;
  version: string;
  nodes: { name: string; ready: boolean; gpus: number }[];
  /** `namespaces` or `loopback` on our own nodes. */
  podNet?: string;
  /** Why it is not ready, in words. */
  message?: string;
}

export async function clusterStatus(cluster: ClusterView): Promise<ClusterStatus> {
  try {
    const version = JSON.parse((await cluster.raw('/version', { timeoutMs: 3_000 })).body) as { gitVersion: string };
    const nodes = await cluster.list('v1', 'Node');
    const views = nodes.map((node) => ({
      name: node.metadata?.name ?? '',
      ready: isReady(node),
      gpus: Number(node['status']?.allocatable?.['nvidia.com/gpu'] ?? 0),
    }));
    const podNet = nodes[0]?.metadata?.labels?.['dynamo-labs.dev/podnet'];
    const ready = views.length > 0 && views.every((node) => node.ready);
    return {
      ready,
      version: version.gitVersion,
      nodes: views,
      ...(podNet !== undefined && { podNet }),
      ...(!ready && { message: views.length === 0 ? 'no nodes yet' : 'not all nodes are Ready' }),
    };
  } catch (error) {
    return { ready: false, version: '', nodes: [], message: error instanceof Error ? error.message : String(error) };
  }
}

/** The latest decisions of the graphs' frontends, oldest first. A graph named by the caller must have a Ready frontend. */
export async function graphDecisions(cluster: ClusterView, scope: { namespace?: string; graph?: string; limit: number }): Promise<RoutingDecision[]> {
  const graphs = (
    await cluster.list('nvidia.com/v1alpha1', 'DynamoGraphDeployment', scope.namespace === undefined ? {} : { namespace: scope.namespace })
  ).filter((graph) => scope.graph === undefined || graph.metadata?.name === scope.graph);
  if (scope.graph !== undefined && graphs.length === 0) throw new ApiError(404, 'NO_GRAPH', `There is no graph ${scope.graph}.`);
  const found = await Promise.all(
    graphs.map(async ({ metadata }) => {
      const client = new GraphClient(cluster, metadata?.namespace ?? 'default', metadata?.name ?? '');
      const frontend = await client.readyFrontend();
      if (frontend !== undefined) return client.decisions(frontend, { limit: scope.limit });
      if (scope.graph === undefined) return [];
      throw new ApiError(409, 'NO_FRONTEND', `Graph ${metadata?.namespace}/${metadata?.name} has no Ready frontend pod.`);
    }),
  );
  return found
    .flat()
    .toSorted((a, b) => a.time.localeCompare(b.time))
    .slice(-scope.limit);
}
