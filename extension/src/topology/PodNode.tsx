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

/** One pod: component, name, readiness, requests, and for workers how full the KV cache is. */
export const PodNode = memo(({ data: { placed } }: NodeProps<PodFlowNode>): ReactElement => {
  const { pod, component, type, role } = placed;
  const state = podIcon(pod);
  return (
    <div
      className={`dl-Pod dl-mod-${state}`}
      title={`${pod.name}${pod.ip === undefined ? '' : `\n${pod.ip}`}${pod.node === undefined ? '' : ` on ${pod.node}`}`}
    >
      {type !== 'frontend' && <Handle type="target" position={Position.Left} isConnectable={false} />}
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
      {type === 'frontend' && <Handle type="source" position={Position.Right} isConnectable={false} />}
      {role === 'prefill' && <Handle id="kv-out" type="source" position={Position.Right} isConnectable={false} />}
      {role === 'decode' && <Handle id="kv-in" type="target" position={Position.Right} isConnectable={false} />}
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
