import type { GraphView, PodView, RoutingDecision, TopologySnapshot } from '../protocol/index.ts';
import { GraphClient, isReady, type ClusterView, type K8sObject } from '../validation/index.ts';
import { transferEdges } from './transferEdges.ts';

const graphApi = 'nvidia.com/v1alpha1';

/** Looks at every graph of the cluster once: objects, then what frontends and workers say of themselves. */
export async function topologySnapshot(cluster: ClusterView): Promise<TopologySnapshot> {
  const problems: string[] = [];
  const graphs = await cluster.list(graphApi, 'DynamoGraphDeployment').catch((error: unknown) => {
    problems.push(error instanceof Error ? error.message : String(error));
    return [];
  });
  return { time: new Date().toISOString(), graphs: await Promise.all(graphs.map((graph) => graphView(cluster, graph, problems))), problems };
}

async function graphView(cluster: ClusterView, graph: K8sObject, problems: string[]): Promise<GraphView> {
  const namespace = graph.metadata?.namespace ?? 'default';
  const name = graph.metadata?.name ?? '';
  const client = new GraphClient(cluster, namespace, name);
  const pods = await client.pods();
  const note = (what: string) => (error: unknown) => {
    problems.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  };
  const services = (graph['spec']?.services ?? {}) as Record<string, { componentType?: string; subComponentType?: string; replicas?: number }>;
  const components = await Promise.all(
    Object.entries(services).map(async ([service, spec]) => {
      const own = pods.filter((pod) => pod.metadata?.labels?.['nvidia.com/dynamo-component'] === service);
      const views = await Promise.all(own.map((pod) => podView(client, pod, spec.componentType === 'frontend', note)));
      const role = spec.subComponentType;
      return {
        name: service,
        type: spec.componentType ?? 'default',
        ...((role === 'prefill' || role === 'decode') && { role: role as 'prefill' | 'decode' }),
        replicas: spec.replicas ?? 1,
        readyReplicas: own.filter(isReady).length,
        pods: views,
      };
    }),
  );
  const frontends = pods.filter((pod) => pod.metadata?.labels?.['nvidia.com/dynamo-component-type'] === 'frontend' && isReady(pod));
  const disaggregated = components.some(({ role }) => role === 'prefill');
  const edges = await Promise.all(frontends.map((pod) => edgesFrom(client, pod, disaggregated, note)));
  const records = disaggregated
    ? await Promise.all(frontends.map((pod) => client.requestRecords(pod.metadata?.name ?? '').catch(note(pod.metadata?.name ?? ''))))
    : [];
  const conditions = (graph['status']?.conditions ?? []) as { type: string; status: string }[];
  return {
    namespace,
    name,
    state: graph['status']?.state ?? 'pending',
    ready: conditions.some((condition) => condition.type === 'Ready' && condition.status === 'True'),
    components,
    edges: edges.flat(),
    ...(disaggregated && { transfers: transferEdges(records.flatMap((each) => each ?? [])) }),
  };
}

type Note = (what: string) => (error: unknown) => undefined;

async function podView(client: GraphClient, pod: K8sObject, isFrontend: boolean, note: Note): Promise<PodView> {
  const name = pod.metadata?.name ?? '';
  const status = (pod['status'] ?? {}) as {
    phase?: string;
    podIP?: string;
    containerStatuses?: { restartCount: number; state?: Record<string, { reason?: string }> }[];
  };
  const main = status.containerStatuses?.[0];
  const reason = main?.state?.['waiting']?.reason ?? main?.state?.['terminated']?.reason;
  const ready = isReady(pod);
  const worker = ready && !isFrontend ? await client.workerState(name).catch(note(name)) : undefined;
  return {
    name,
    ...(pod['spec']?.nodeName !== undefined && { node: pod['spec'].nodeName as string }),
    ...(status.podIP !== undefined && { ip: status.podIP }),
    phase: status.phase ?? 'Unknown',
    ready,
    restarts: main?.restartCount ?? 0,
    ...(reason !== undefined && { reason }),
    ...(worker && {
      kv: { totalBlocks: worker.engine.totalBlocks, usedBlocks: worker.engine.usedBlocks, cachedBlocks: worker.engine.cachedBlocks },
      requests: { running: worker.engine.running, waiting: worker.engine.waiting, total: worker.requests.total },
    }),
  };
}

async function edgesFrom(client: GraphClient, frontend: K8sObject, disaggregated: boolean, note: Note): Promise<GraphView['edges']> {
  const from = frontend.metadata?.name ?? '';
  const decisions = await client.decisions(from).catch(note(from));
  const prefill = decisions === undefined || !disaggregated ? [] : await client.decisions(from, { pool: 'prefill' }).catch(note(from));
  const byPod = Map.groupBy([...(decisions ?? []), ...(prefill ?? [])], (decision: RoutingDecision) => decision.chosen.pod ?? decision.chosen.worker_id);
  return [...byPod].map(([to, routed]) => ({
    from,
    to,
    requests: routed.length,
    cachedBlocks: routed.reduce((sum, decision) => sum + decision.chosen.overlap_blocks, 0),
  }));
}
