import { useState } from 'react';
import type { ReactElement } from 'react';

import { InlineCode } from '../labs/InlineCode.tsx';
import { StateIcon } from '../labs/StateIcon.tsx';
import { useSignal } from '../labs/useSignal.ts';
import type { StepState } from '../protocol.ts';
import type { Freshness, TopologyModel } from './topologyModel.ts';
import { TopologyPicture } from './TopologyPicture.tsx';
import { TopologyTable } from './TopologyTable.tsx';

const freshness: Record<Freshness, { state: StepState; words: string }> = {
  live: { state: 'passed', words: 'Live' },
  polling: { state: 'running', words: 'Asking every few seconds' },
  paused: { state: 'todo', words: 'Paused' },
  offline: { state: 'error', words: 'Offline' },
};

/** What runs now, as a picture or as a table. */
export function TopologyView({ model }: { model: TopologyModel }): ReactElement {
  useSignal(model.changed);
  const [asTable, setAsTable] = useState(false);
  const { snapshot, problem } = model;
  const { state, words } = freshness[model.freshness];
  const graphs = snapshot?.graphs ?? [];
  return (
    <div className="dl-Topology-frame">
      <div className="dl-Topology-bar" role="toolbar" aria-label="Topology">
        <span className="dl-Topology-freshness" role="status">
          <StateIcon state={state} /> {words}
          {snapshot && <span className="dl-quiet"> · {new Date(snapshot.time).toLocaleTimeString()}</span>}
        </span>
        <div className="dl-Topology-legend" aria-hidden="true">
          <span className="dl-Kv-cached" /> cached blocks <span className="dl-Kv-used" /> blocks in use
          {graphs.some(({ transfers }) => transfers) && (
            <>
              <span className="dl-Kv-moved" /> KV transfer
            </>
          )}
        </div>
        <button className="dl-Button" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
          {asTable ? 'Show as picture' : 'Show as table'}
        </button>
      </div>
      {[...(problem === undefined ? [] : [problem]), ...(snapshot?.problems ?? [])].map((text) => (
        <p className="dl-Topology-problem" role="alert" key={text}>
          <StateIcon state="error" label /> <InlineCode text={text} />
        </p>
      ))}
      <div className="dl-Topology-body">
        {graphs.length === 0 && (
          <p className="dl-Topology-empty">
            {snapshot ? 'No graph is deployed yet. It appears here as soon as you apply one.' : problem === undefined ? 'Asking the backend…' : ''}
          </p>
        )}
        {graphs.length > 0 && (asTable ? <TopologyTable graphs={graphs} /> : <TopologyPicture graphs={graphs} />)}
      </div>
    </div>
  );
}
