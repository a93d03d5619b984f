import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { CommandRegistry } from '@lumino/commands';
import type { ReactElement } from 'react';

import type { LabSummary } from '../protocol.ts';
import { InlineCode } from './InlineCode.tsx';
import { durationText, labProgress } from './labProgress.ts';
import type { LabsModel } from './labsModel.ts';
import { LabView, Progress } from './LabView.tsx';
import { StateIcon } from './StateIcon.tsx';
import { useSignal } from './useSignal.ts';

export interface LabsViewProps {
  model: LabsModel;
  commands: CommandRegistry;
  rendermime: IRenderMimeRegistry;
}

/** The Labs panel: all labs, or the one that was chosen. */
export function LabsView(props: LabsViewProps): ReactElement {
  const { model } = props;
  useSignal(model.changed);
  const lab = model.selectedLab;
  return (
    <>
      {model.problem !== undefined && (
        <div className="dl-Problem" role="alert">
          <StateIcon state="error" label />
          <div>
            <p>
              <InlineCode text={model.problem} />
            </p>
            <button className="dl-Link" onClick={() => void model.refresh()}>
              Try again
            </button>
          </div>
        </div>
      )}
      {lab ? <LabView {...props} lab={lab} /> : <LabList {...props} />}
    </>
  );
}

function LabList({ model }: LabsViewProps): ReactElement {
  return (
    <div className="dl-Labs">
      <h2>Dynamo Labs</h2>
      {!model.loaded && <p className="dl-quiet">Asking the backend…</p>}
      {model.loaded && model.problem === undefined && model.labs.length === 0 && <p className="dl-quiet">The backend has no labs.</p>}
      <ul>
        {model.labs.map((lab) => (
          <li key={lab.id}>
            <LabCard lab={lab} onOpen={() => model.select(lab.id)} />
          </li>
        ))}
      </ul>
    </div>
  );
}

function LabCard({ lab, onOpen }: { lab: LabSummary; onOpen: () => void }): ReactElement {
  const { passed, total } = labProgress(lab);
  return (
    <button className="dl-LabCard" onClick={onOpen}>
      <span className="dl-LabCard-title">{lab.title}</span>
      <span className="dl-LabCard-summary">{lab.summary}</span>
      <Progress passed={passed} total={total} />
      <span className="dl-quiet">
        {passed} of {total} steps · {durationText(lab.durationMinutes)}
      </span>
      {lab.unavailable !== undefined && (
        <span className="dl-LabCard-unavailable">
          <StateIcon state="error" /> Not here: {lab.unavailable}
        </span>
      )}
    </button>
  );
}
