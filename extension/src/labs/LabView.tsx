import type { ReactElement } from 'react';

import { commandIds } from '../commandIds.ts';
import type { LabSummary } from '../protocol.ts';
import { durationText, labProgress } from './labProgress.ts';
import type { LabsViewProps } from './LabsView.tsx';
import { StepCard } from './StepCard.tsx';

/** One lab: progress and its steps. */
export function LabView({ model, commands, rendermime, lab }: LabsViewProps & { lab: LabSummary }): ReactElement {
  const { passed, total, minutesLeft } = labProgress(lab);
  const args = { lab: lab.id };
  return (
    <div className="dl-Lab">
      <header className="dl-Lab-head">
        <button className="dl-Link" onClick={() => model.select()}>
          ‹ All labs
        </button>
        <h2>{lab.title}</h2>
        <Progress passed={passed} total={total} />
        <p className="dl-quiet">
          {passed} of {total} steps · {passed === total ? 'done' : `about ${durationText(minutesLeft)} left`}
        </p>
        <div className="dl-Actions">
          <button className="dl-Button" onClick={() => void commands.execute(commandIds.openNotebook, args)}>
            Open notebook
          </button>
          <button className="dl-Button" onClick={() => void commands.execute(commandIds.openTopology)}>
            Live topology
          </button>
        </div>
      </header>
      <ol className="dl-Steps">
        {lab.steps.map((step, i) => (
          <StepCard
            key={step.id}
            model={model}
            commands={commands}
            rendermime={rendermime}
            lab={lab.id}
            step={step}
            number={i + 1}
            open={step.id === model.selectedStep?.id}
          />
        ))}
      </ol>
      <footer className="dl-Lab-foot">
        <button className="dl-Link" onClick={() => void commands.execute(commandIds.resetLab, args)}>
          Reset the whole lab
        </button>
      </footer>
    </div>
  );
}

export function Progress({ passed, total }: { passed: number; total: number }): ReactElement {
  return (
    <div
      className="dl-Progress"
      role="progressbar"
      aria-label="Progress"
      aria-valuemin={0}
      aria-valuemax={total}
      aria-valuenow={passed}
      aria-valuetext={`${passed} of ${total} steps passed`}
    >
      <div style={{ width: `${total === 0 ? 0 : (100 * passed) / total}%` }} />
    </div>
  );
}
