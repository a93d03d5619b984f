import { ReactWidget } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { ReactElement } from 'react';

import { commandIds } from '../commandIds.ts';
import { CheckReportView } from './CheckReportView.tsx';
import type { LabsModel, StepRef } from './labsModel.ts';
import { StateIcon, stateWords } from './StateIcon.tsx';
import { useSignal } from './useSignal.ts';

export interface InlineCheckRowOptions extends StepRef {
  model: LabsModel;
  commands: CommandRegistry;
}

/** Below the last cell of a step: its state, Check and Hint, and what the check saw. */
export class InlineCheckRow extends ReactWidget {
  readonly #options: InlineCheckRowOptions;

  constructor(options: InlineCheckRowOptions) {
    super();
    this.#options = options;
    this.addClass('dl-Row');
    // Keys pressed here are not meant for the notebook.
    this.node.addEventListener('keydown', (event) => event.stopPropagation());
  }

  protected override render(): ReactElement {
    const options = this.#options;
    return <Row {...options} />;
  }
}

function Row({ model, commands, lab, step: id }: InlineCheckRowOptions): ReactElement | null {
  useSignal(model.changed);
  const ref = { lab, step: id };
  const step = model.step(ref);
  if (!step) return null;
  const pending = model.pending(ref);
  const state = pending === 'check' || pending === 'solve' ? 'running' : step.state;
  const report = state === 'running' ? undefined : step.lastReport;
  return (
    <section className={`dl-Row-box dl-mod-${state}`} aria-label={`Step: ${step.title}`}>
      <div className="dl-Row-line">
        <StateIcon state={state} />
        <span className="dl-Row-title">{step.title}</span>
        <span className="dl-Row-state" role="status">
          {stateWords[state]}
        </span>
        <button className="dl-Button dl-mod-primary" disabled={state === 'running'} onClick={() => void commands.execute(commandIds.checkStep, ref)}>
          {state === 'running' ? 'Checking…' : 'Check'}
        </button>
        <button className="dl-Button" onClick={() => void commands.execute(commandIds.showHint, ref)} disabled={step.hintsShown >= step.hintsTotal}>
          Hint
        </button>
      </div>
      {report && (report.verdict === 'PASS' ? <PassedReport report={report} /> : <CheckReportView report={report} />)}
    </section>
  );
}

/** A passed step needs no room: its evidence is one click away. */
function PassedReport({ report }: { report: Parameters<typeof CheckReportView>[0]['report'] }): ReactElement {
  return (
    <details className="dl-Row-passed">
      <summary>What was seen</summary>
      <CheckReportView report={report} />
    </details>
  );
}
