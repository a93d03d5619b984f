import type { ReactElement } from 'react';

import { StateIcon } from '../labs/StateIcon.tsx';
import type { GraphView } from '../protocol.ts';
import { podIcon, podStateText, transferText } from './podText.ts';

/** The same facts as the picture, for screen readers and for copying. */
export function TopologyTable({ graphs }: { graphs: readonly GraphView[] }): ReactElement {
  return (
    <div className="dl-TopologyTable">
      {graphs.map((graph) => (
        <table key={`${graph.namespace}/${graph.name}`}>
          <caption>
            {graph.name} in {graph.namespace}: {graph.ready ? 'ready' : graph.state}
          </caption>
          <thead>
            <tr>
              <th scope="col">Component</th>
              <th scope="col">Pod</th>
              <th scope="col">State</th>
              <th scope="col">Restarts</th>
              <th scope="col">Running</th>
              <th scope="col">Waiting</th>
              <th scope="col">Requests</th>
              <th scope="col">Cached blocks</th>
              <th scope="col">Blocks in use</th>
              <th scope="col">Routed here</th>
              {graph.transfers && <th scope="col">KV read from prefill</th>}
            </tr>
          </thead>
          <tbody>
            {graph.components.flatMap((component) =>
              component.pods.map((pod) => (
                <tr key={pod.name}>
                  <td>{component.name}</td>
                  <th scope="row">{pod.name}</th>
                  <td>
                    <StateIcon state={podIcon(pod)} /> {podStateText(pod)}
                  </td>
                  <td>{pod.restarts}</td>
                  <td>{pod.requests?.running ?? '–'}</td>
                  <td>{pod.requests?.waiting ?? '–'}</td>
                  <td>{pod.requests?.total ?? '–'}</td>
                  <td>{pod.kv?.cachedBlocks ?? '–'}</td>
                  <td>{pod.kv ? `${pod.kv.usedBlocks} of ${pod.kv.totalBlocks}` : '–'}</td>
                  <td>
                    {component.type === 'frontend' ? '–' : graph.edges.filter(({ to }) => to === pod.name).reduce((sum, { requests }) => sum + requests, 0)}
                  </td>
                  {graph.transfers && <td>{component.role === 'decode' ? transferText(readBy(graph, pod.name)) : '–'}</td>}
                </tr>
              )),
            )}
          </tbody>
        </table>
      ))}
    </div>
  );
}

function readBy(graph: GraphView, pod: string): { blocks: number; bytes: number } {
  const own = graph.transfers?.filter(({ to }) => to === pod) ?? [];
  return { blocks: own.reduce((sum, { blocks }) => sum + blocks, 0), bytes: own.reduce((sum, { bytes }) => sum + bytes, 0) };
}
