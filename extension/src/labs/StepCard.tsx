import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { CommandRegistry } from '@lumino/commands';
import { useEffect } from 'react';
import type { ReactElement } from 'react';

import { commandIds } from '../commandIds.ts';
import type { StepSummary } from '../protocol.ts';
import { CheckReportView } from './CheckReportView.tsx';
import { durationText } from './labProgress.ts';
import type { LabsModel } from './labsModel.ts';
import { Markdown } from './Markdown.tsx';
import { StateIcon, stateWords } from './StateIcon.tsx';

export interface StepCardProps {
  model: LabsModel;
  commands: CommandRegistry;
  rendermime: IRenderMimeRegistry;
  lab: string;
  step: StepSummary;
  number: number;
  open: boolean;
}

/** One step in the panel: a line, and below it, when open, goal, actions and the last result. */
export function StepCard(props: StepCardProps): ReactElement {
  const { model, commands, lab, step, number, open } = props;
  const ref = { lab, step: step.id };
  const state = model.pending(ref) === 'check' || model.pending(ref) === 'solve' ? 'running' : step.state;
  const body = `dl-step-${lab}-${step.id}`;
  return (
    <li className={`dl-Step${open ? ' dl-mod-open' : ''}`}>
      <button className="dl-Step-line" aria-expanded={open} aria-controls={body} onClick={() => (open ? model.closeStep() : model.select(lab, step.id))}>
        <StateIcon state={state} />
        <span className="dl-Step-title">
          {number}. {step.title}
        </span>
        <span className="dl-Step-state">{state === 'todo' ? durationText(step.durationMinutes) : stateWords[state]}</span>
      </button>
      {open && (
        <div className="dl-Step-body" id={body}>
          <Markdown source={step.goal} rendermime={props.rendermime} />
          <Actions {...props} running={state === 'running'} />
          <div aria-live="polite" className="dl-visuallyHidden">
            {state === 'running' ? 'checking' : step.lastReport ? `${step.title}: ${stateWords[state]}` : ''}
          </div>
          {step.lastReport && <CheckReportView report={step.lastReport} />}
          <Texts {...props} />
          <div className="dl-Step-more">
            <button className="dl-Link" disabled={state === 'running'} onClick={() => void commands.execute(commandIds.solveStep, { ...ref })}>
              Solve it for me
            </button>
            <button className="dl-Link" disabled={state === 'running'} onClick={() => void commands.execute(commandIds.resetStep, { ...ref })}>
              Reset this step
            </button>
          </div>
        </div>
      )}
    </li>
  );
}

function Actions({ commands, lab, step, running }: StepCardProps & { running: boolean }): ReactElement {
  const ref = { lab, step: step.id };
  const noMoreHints = step.hintsShown >= step.hintsTotal;
  return (
    <div className="dl-Actions">
      <button className="dl-Button dl-mod-primary" disabled={running} onClick={() => void commands.execute(commandIds.checkStep, ref)}>
        {running ? 'Checking…' : 'Check'}
      </button>
      {step.hintsTotal > 0 && (
        <button className="dl-Button" disabled={noMoreHints} onClick={() => void commands.execute(commandIds.showHint, ref)}>
          {noMoreHints ? `All ${step.hintsTotal} hints shown` : `Hint ${step.hintsShown + 1} of ${step.hintsTotal}`}
        </button>
      )}
      <button className="dl-Button" onClick={() => void commands.execute(commandIds.showSolution, ref)}>
        Solution
      </button>
    </div>
  );
}

function Texts({ model, rendermime, lab, step }: StepCardProps): ReactElement {
  const ref = { lab, step: step.id };
  useEffect(() => {
    // Without them the panel only shows less: the count beside the button stays right.
    void model.recallHints({ lab, step: step.id }).catch(() => undefined);
  }, [model, lab, step.id]);
  const solution = model.solution(ref);
  return (
    <div aria-live="polite">
      {model.hints(ref).map((hint, i) => (
        <section className="dl-Text" key={i}>
          <h4>Hint {i + 1}</h4>
          <Markdown source={hint} rendermime={rendermime} />
        </section>
      ))}
      {solution !== undefined && (
        <section className="dl-Text">
          <h4>Solution</h4>
          <Markdown source={solution} rendermime={rendermime} />
        </section>
      )}
    </div>
  );
}
