import type { CheckReport, LabSummary, StepState, StepSummary } from '../../../backend/src/protocol/lab';
import { callBackend } from './backendClient';
import { CheckResult } from './checkResult';
import { html, theme } from './html';
import { KitError } from './kitError';
import { Rich } from './rich';
import type { MimeBundle } from './rich';

/** Checks look at the live cluster and may wait for it. */
const checkDeadlineMs = 5 * 60_000;

/** Text of the lab, shown as Markdown source in plain viewers. */
export class LabText extends Rich {
  readonly title: string;
  readonly markdown: string;

  constructor(title: string, markdown: string) {
    super();
    this.title = title;
    this.markdown = markdown;
  }

  override bundle(): MimeBundle {
    const box = html`<div style="border-left:4px solid ${theme.accent};padding:4px 12px;font-family:${theme.font};color:${theme.text};max-width:860px">
      <strong>${this.title}</strong>
      <div style="white-space:pre-wrap">${this.markdown}</div>
    </div>`;
    return { 'text/plain': `${this.title}\n${this.markdown}`, 'text/html': box.markup };
  }
}

/** One step of a lab, as the backend knows it. Every call asks the backend; nothing is kept in the notebook. */
export class LabStep {
  readonly lab: string;
  readonly id: string;
  private readonly route: string;

  constructor(lab: string, id: string) {
    this.lab = lab;
    this.id = id;
    this.route = `/api/labs/${encodeURIComponent(lab)}/steps/${encodeURIComponent(id)}`;
  }

  /** Looks at the live cluster. A step that is not done yet is a result, not an exception. */
  async check(): Promise<CheckResult> {
    return new CheckResult(await callBackend<CheckReport>(`${this.route}/check`, { method: 'POST', deadlineMs: checkDeadlineMs }));
  }

  /** Hands in an answer that the step's check will judge, e.g. a number you computed. */
  async answer(name: string, value: unknown): Promise<LabText> {
    await callBackend<StepSummary>(`${this.route}/answer`, { method: 'POST', body: { name, value } });
    return new LabText('Handed in', `${name} = ${JSON.stringify(value)}`);
  }

  /** The next hint of the step's ladder. */
  async hint(): Promise<LabText> {
    const { index, total, markdown } = await callBackend<{ index: number; total: number; markdown: string }>(`${this.route}/hints`, { method: 'POST' });
    return new LabText(`Hint ${index + 1} of ${total}`, markdown);
  }

  async solution(): Promise<LabText> {
    const { markdown } = await callBackend<{ markdown: string }>(`${this.route}/solution`, { method: 'POST' });
    return new LabText('Solution', markdown);
  }

  /** Lets the backend do the step, then checks it. */
  async solve(): Promise<CheckResult> {
    return new CheckResult(await callBackend<CheckReport>(`${this.route}/solve`, { method: 'POST', deadlineMs: checkDeadlineMs }));
  }

  async reset(): Promise<LabOverview> {
    return new LabOverview(await callBackend<LabSummary>(`${this.route}/reset`, { method: 'POST', deadlineMs: checkDeadlineMs }));
  }

  async status(): Promise<StepSummary> {
    const lab = await callBackend<LabSummary>(`/api/labs/${encodeURIComponent(this.lab)}`);
    const step = lab.steps.find(({ id }) => id === this.id);
    if (!step) throw new KitError('UNKNOWN_STEP', `The lab ${this.lab} has no step ${this.id}; it has ${lab.steps.map(({ id }) => id).join(', ')}.`);
    return step;
  }
}

const stateIcons: Record<StepState, string> = { todo: '○', running: '◌', passed: '✓', failed: '✗', error: '!' };

/** A lab with the state of each step. */
export class LabOverview extends Rich {
  readonly summary: LabSummary;

  constructor(summary: LabSummary) {
    super();
    this.summary = summary;
  }

  override bundle(): MimeBundle {
    const { title, steps } = this.summary;
    const passed = steps.filter(({ state }) => state === 'passed').length;
    const head = `${title}: ${passed} of ${steps.length} steps passed`;
    const box = html`<div style="font-family:${theme.font};color:${theme.text}">
      <strong>${head}</strong>
      <ol style="margin:4px 0">
        ${steps.map((s) => html`<li>${stateIcons[s.state]} ${s.title} <span style="color:${theme.quiet}">${s.state}, ${s.durationMinutes} min</span></li>`)}
      </ol>
    </div>`;
    return { 'text/plain': [head, ...steps.map((s) => `  ${stateIcons[s.state]} ${s.title} (${s.state})`)].join('\n'), 'text/html': box.markup };
  }
}

export const lab = {
  /** `lab.step('03-kv-aware-routing', 'deploy')`; the last expression of a cell shows the result of its methods. */
  step: (labId: string, stepId: string): LabStep => new LabStep(labId, stepId),
  /** All steps and their states. */
  overview: async (labId: string): Promise<LabOverview> => new LabOverview(await callBackend<LabSummary>(`/api/labs/${encodeURIComponent(labId)}`)),
};
