import { Background, Controls, MarkerType, Position, ReactFlow } from '@xyflow/react';
import type { Edge } from '@xyflow/react';
import { useEffect, useMemo, useRef } from 'react';
import type { ReactElement } from 'react';

import type { GraphView } from '../protocol.ts';
import { layoutGraphs, podSize } from './graphLayout.ts';
import { transferText } from './podText.ts';
import { TransferEdge } from './TransferEdge.tsx';
import { HeadingNode, podHandles, PodNode } from './PodNode.tsx';
import type { HeadingFlowNode, PodFlowNode } from './PodNode.tsx';

const nodeTypes = { pod: PodNode, heading: HeadingNode };
const edgeTypes = { kv: TransferEdge };

/** Graphs, pods and routed requests as a picture that can be moved and zoomed. */
export function TopologyPicture({ graphs }: { graphs: readonly GraphView[] }): ReactElement {
  const before = useRef(new Map<string, number>());
  const { nodes, edges, shape } = useMemo(() => {
    const layout = layoutGraphs(graphs);
    const pods: PodFlowNode[] = layout.pods.map((placed) => ({
      id: placed.id,
      type: 'pod',
      position: { x: placed.x, y: placed.y },
      ...podSize,
      // Said, not left to be measured: what changes while the view is hidden has no size, and its edges would be missing when it is seen again.
      handles: podHandles(placed).map((handle) => ({
        ...handle,
        x: handle.position === Position.Left ? 0 : podSize.width,
        y: podSize.height / 2,
        width: 0,
        height: 0,
      })),
      data: { placed },
      ariaLabel: `${placed.component} ${placed.pod.name}`,
    }));
    const headings: HeadingFlowNode[] = layout.headings.map(({ id, graph, x, y }) => ({
      id,
      type: 'heading',
      position: { x, y },
      width: 420,
      height: 28,
      data: { graph },
      focusable: false,
    }));
    const flow: Edge[] = layout.edges.map((edge) => {
      const { id, source, target, kind, requests, cachedBlocks, blocks } = edge;
      const busy = requests > (before.current.get(id) ?? requests);
      return {
        id,
        source,
        target,
        ...(kind === 'kv' && { type: 'kv', sourceHandle: 'kv-out', targetHandle: 'kv-in' }),
        className: ['dl-Edge', `dl-mod-${kind}`, ...(requests === 0 ? ['dl-mod-idle'] : busy ? ['dl-mod-busy'] : [])].join(' '),
        animated: busy && !window.matchMedia('(prefers-reduced-motion: reduce)').matches,
        ...(requests === 0 ? {} : { label: kind === 'kv' ? transferText(edge) : `${requests} requests` }),
        data: { requests },
        ariaLabel: kind === 'kv' ? `KV transfer: ${blocks} blocks in ${requests} requests` : `${requests} requests, ${cachedBlocks} cached blocks`,
        markerEnd: {
          type: MarkerType.ArrowClosed,
          color: requests === 0 ? 'var(--jp-border-color1)' : kind === 'kv' ? 'var(--jp-accent-color1)' : 'var(--jp-brand-color1)',
        },
        style: { strokeWidth: 1.5 + Math.min(3, Math.log2(1 + requests) / 2.5) },
      };
    });
    return { nodes: [...headings, ...pods], edges: flow, shape: layout.pods.map(({ id }) => id).join(' ') };
  }, [graphs]);
  useEffect(() => {
    before.current = new Map(edges.map((edge) => [edge.id, Number(edge.data?.['requests'] ?? 0)]));
  }, [edges]);
  return (
    <ReactFlow
      // A pod that came or went changes the layout: fit it anew.
      key={shape}
      nodes={nodes}
      edges={edges}
      nodeTypes={nodeTypes}
      edgeTypes={edgeTypes}
      fitView
      fitViewOptions={{ padding: { x: 0.12, y: 0.12, ...(graphs.some(({ transfers }) => transfers) && { right: '190px' as const }) }, maxZoom: 1.1 }}
      minZoom={0.2}
      nodesDraggable={false}
      nodesConnectable={false}
      edgesFocusable={false}
      elementsSelectable={false}
      aria-label="Picture of graphs and pods; the same as a table is one button away"
    >
      <Background color="var(--jp-border-color2)" />
      <Controls showInteractive={false} />
    </ReactFlow>
  );
}
