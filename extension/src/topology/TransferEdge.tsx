import { BaseEdge } from '@xyflow/react';
import type { EdgeProps } from '@xyflow/react';
import type { ReactElement } from 'react';

const reach = 76;

/** KV that went from a prefill to a decode pod: an arc along the right side of their column, its text beside it. */
export function TransferEdge({ id, sourceX, sourceY, targetX, targetY, label, markerEnd, style }: EdgeProps): ReactElement {
  const path = `M${sourceX} ${sourceY} C${sourceX + reach} ${sourceY} ${targetX + reach} ${targetY} ${targetX} ${targetY}`;
  return (
    <>
      <BaseEdge id={id} path={path} {...(markerEnd && { markerEnd })} {...(style && { style })} />
      {label !== undefined && (
        <text className="react-flow__edge-text" x={Math.max(sourceX, targetX) + reach * 0.75 + 8} y={(sourceY + targetY) / 2} dy="0.35em">
          {label}
        </text>
      )}
    </>
  );
}
