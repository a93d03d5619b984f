import dagre from '@dagrejs/dagre';

import type { GraphView, PodView } from '../protocol.ts';

export const podSize = { width: 272, height: 108 };
const headingHeight = 44;
const gapBetweenGraphs = 40;

export interface PlacedPod {
  id: string;
  graph: string;
  component: string;
  type: string;
  role?: 'prefill' | 'decode';
  pod: PodView;
  x: number;
  y: number;
}

export interface PlacedHeading {
  id: string;
  graph: GraphView;
  x: number;
  y: number;
}

export interface PlacedEdge {
  id: string;
  source: string;
  target: string;
  /** Requests routed, or KV blocks read by the target from the source. */
  kind: 'requests' | 'kv';
  requests: number;
  cachedBlocks: number;
  blocks: number;
  bytes: number;
}

export interface GraphLayout {
  pods: PlacedPod[];
  headings: PlacedHeading[];
  edges: PlacedEdge[];
}

/**
 * Places graphs one below the other: frontends left, workers right, prefill above decode. A frontend is joined to every worker and a prefill pod to
 * every decode pod, also before the first request, so that the picture does not jump when traffic starts.
 */
export function layoutGraphs(graphs: readonly GraphView[]): GraphLayout {
  const result: GraphLayout = { pods: [], headings: [], edges: [] };
  let top = 0;
  for (const graph of graphs) {
    const prefix = `${graph.namespace}/${graph.name}`;
    const inFlow = graph.components.toSorted((a, b) => rank(a) - rank(b));
    const pods = inFlow.flatMap((component) => component.pods.map((pod) => ({ component, pod, id: `${prefix}/${pod.name}` })));
    const edges = edgesOf(graph, prefix);
    const drawing = new dagre.graphlib.Graph().setGraph({ rankdir: 'LR', nodesep: 22, ranksep: 120 }).setDefaultEdgeLabel(() => ({}));
    for (const { id } of pods) drawing.setNode(id, { ...podSize });
    // Transfers run along the right side of the column of workers.
    for (const { kind, source, target } of edges) if (kind === 'requests') drawing.setEdge(source, target);
    dagre.layout(drawing);
    const inOrder = placesInOrder(pods.map(({ id }) => drawing.node(id)));
    const placed = pods.map(({ id, component, pod }, i) => {
      const { x, y } = inOrder[i]!;
      const { name, type, role } = component;
      return { id, graph: prefix, component: name, type, ...(role && { role }), pod, x: x - podSize.width / 2, y: y - podSize.height / 2 };
    });
    const [minX, minY] = [Math.min(0, ...placed.map(({ x }) => x)), Math.min(...placed.map(({ y }) => y))];
    result.headings.push({ id: `heading ${prefix}`, graph, x: minX, y: top });
    result.pods.push(...placed.map((pod) => ({ ...pod, y: pod.y - minY + top + headingHeight })));
    result.edges.push(...edges);
    const height = placed.length === 0 ? 0 : Math.max(...placed.map(({ y }) => y)) - minY + podSize.height;
    top += headingHeight + height + gapBetweenGraphs;
  }
  return result;
}

function rank({ role }: GraphView['components'][number]): number {
  return role === 'prefill' ? 0 : 1;
}

/** Dagre may turn a column upside down; here the first pod of a column is always the topmost. */
function placesInOrder(places: readonly { x: number; y: number }[]): { x: number; y: number }[] {
  const columns = new Map<number, number[]>();
  for (const { x, y } of places)
    columns.set(
      x,
      [...(columns.get(x) ?? []), y].sort((a, b) => a - b),
    );
  return places.map(({ x }) => ({ x, y: columns.get(x)!.shift()! }));
}

function edgesOf(graph: GraphView, prefix: string): PlacedEdge[] {
  const podsOf = (wanted: (component: GraphView['components'][number]) => boolean): PodView[] => graph.components.filter(wanted).flatMap(({ pods }) => pods);
  const between = (
    sources: PodView[],
    targets: PodView[],
    fields: (from: PodView, to: PodView) => Omit<PlacedEdge, 'id' | 'source' | 'target'>,
  ): PlacedEdge[] =>
    sources.flatMap((from) =>
      targets.map((to) => {
        const [source, target] = [`${prefix}/${from.name}`, `${prefix}/${to.name}`];
        return { id: `${source} → ${target}`, source, target, ...fields(from, to) };
      }),
    );
  const isFrontend = ({ type }: GraphView['components'][number]): boolean => type === 'frontend';
  const requests = between(
    podsOf(isFrontend),
    podsOf((component) => !isFrontend(component)),
    (from, to) => {
      const edge = graph.edges.find((candidate) => candidate.from === from.name && candidate.to === to.name);
      return { kind: 'requests', requests: edge?.requests ?? 0, cachedBlocks: edge?.cachedBlocks ?? 0, blocks: 0, bytes: 0 };
    },
  );
  const transfers = between(
    podsOf(({ role }) => role === 'prefill'),
    podsOf(({ role }) => role === 'decode'),
    (from, to) => {
      const edge = graph.transfers?.find((candidate) => candidate.from === from.name && candidate.to === to.name);
      return { kind: 'kv', requests: edge?.requests ?? 0, cachedBlocks: 0, blocks: edge?.blocks ?? 0, bytes: edge?.bytes ?? 0 };
    },
  );
  return [...requests, ...transfers];
}
