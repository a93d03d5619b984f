import { Handle, Position } from '@xyflow/react';
import type { Node, NodeProps } from '@xyflow/react';
import { memo } from 'react';
import type { ReactElement } from 'react';

import { StateIcon } from '../labs/StateIcon.tsx';
import type { GraphView } from '../protocol.ts';
import type { PlacedPod } from './graphLayout.ts';
import { podIcon, podStateText, shortPodName } from './podText.ts';

export type PodFlowNode = Node<{ placed: PlacedPod }, 'pod'>;
export type HeadingFlowNode = Node<{ graph: GraphView }, 'heading'>;

interface PodHandle {
  id?: string;
  type: 'source' | 'target';
  position: Position.Left | Position.Right;
}

/** Where edges begin and end: requests go from frontends into all others, KV from prefill to decode along the right side. */
export function podHandles({ type, role }: Pick<PlacedPod, 'type' | 'role'>): PodHandle[] {
  return [
    type === 'frontend' ? { type: 'source', position: Position.Right } : { type: 'target', position: Position.Left },
    ...(role === 'prefill' ? [{ id: 'kv-out', type: 'source' as const, position: Position.Right as const }] : []),
    ...(role === 'decode' ? [{ id: 'kv-in', type: 'target' as const, position: Position.Right as const }] : []),
  ];
}

/** One pod: component, name, readiness, requests, and for workers how full the KV cache is. */
export const PodNode = memo(({ data: { placed } }: NodeProps<PodFlowNode>): ReactElement => {
  const { pod, component } = placed;
  const state = podIcon(pod);
  return (
    <div
      className={`dl-Pod dl-mod-${state}`}
      title={`${pod.name}${pod.ip === undefined ? '' : `\n${pod.ip}`}${pod.node === undefined ? '' : ` on ${pod.node}`}`}
    >
      <div className="dl-Pod-head">
        <strong>{component}</strong>
        <span className="dl-Pod-state">
          <StateIcon state={state} /> {podStateText(pod)}
        </span>
      </div>
      <div className="dl-Pod-name">
        {shortPodName(pod.name)}
        {pod.restarts > 0 && <span> · {pod.restarts} restarts</span>}
      </div>
      {pod.requests && (
        <div className="dl-Pod-facts">
          {pod.requests.running} running · {pod.requests.waiting} waiting · {pod.requests.total} total
        </div>
      )}
      {pod.kv && <KvBar {...pod.kv} />}
      {podHandles(placed).map((handle) => (
        <Handle key={`${handle.type} ${handle.id ?? ''}`} {...handle} isConnectable={false} />
      ))}
    </div>
  );
});

function KvBar({ totalBlocks, usedBlocks, cachedBlocks }: { totalBlocks: number; usedBlocks: number; cachedBlocks: number }): ReactElement {
  const percent = (blocks: number): string => `${totalBlocks === 0 ? 0 : Math.min(100, (100 * blocks) / totalBlocks)}%`;
  return (
    <div className="dl-Kv">
      <div className="dl-Kv-bar" aria-hidden="true">
        <div className="dl-Kv-cached" style={{ width: percent(cachedBlocks) }} />
      </div>
      <div className="dl-Kv-bar" aria-hidden="true">
        <div className="dl-Kv-used" style={{ width: percent(usedBlocks) }} />
      </div>
      <div className="dl-Pod-facts">
        {cachedBlocks} cached · {usedBlocks} in use · {totalBlocks} blocks
      </div>
    </div>
  );
}

/** Name and state above the pods of a graph. */
export const HeadingNode = memo(({ data: { graph } }: NodeProps<HeadingFlowNode>): ReactElement => (
  <div className="dl-GraphHeading">
    <StateIcon state={graph.ready ? 'passed' : 'running'} />
    <strong>{graph.name}</strong>
    <span>
      {graph.namespace} · {graph.ready ? 'ready' : graph.state}
    </span>
  </div>
));
