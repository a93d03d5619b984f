import type { CheckReport, LabEvent, LabSummary, StepSummary } from '../protocol/index.ts';
import { runCheck, type Act, type ClusterView, type Lab } from '../validation/index.ts';
import { ApiError } from './apiError.ts';
import type { ProgressStore } from './progressStore.ts';

/** Seconds that a solution or a reset may take. */
const actSeconds = 180;

/** Checks, hints, solutions and resets of all labs, and the progress they make. One act at a time per lab. */
export class LabService {
  readonly #labs: Map<string, Lab>;
  readonly #cluster: ClusterView;
  readonly #progress: ProgressStore;
  readonly #publish: (event: LabEvent) => void;
  readonly #busy = new Set<string>();
  readonly #closing = new AbortController();

  constructor(options: { labs: Lab[]; cluster: ClusterView; progress: ProgressStore; publish: (event: LabEvent) => void }) {
    this.#labs = new Map(options.labs.map((lab) => [lab.yaml.id, lab]));
    this.#cluster = options.cluster;
    this.#progress = options.progress;
    this.#publish = options.publish;
  }

  list(): LabSummary[] {
    return [...this.#labs.keys()].map((id) => this.get(id));
  }

  get(labId: string): LabSummary {
    const lab = this.#lab(labId);
    const { id, title, summary, steps } = lab.yaml;
    return {
      id,
      title,
      summary,
      durationMinutes: steps.reduce((sum, step) => sum + step.durationMinutes, 0),
      steps: steps.map((step) => this.#summary(lab, step.id)),
      notebook: `${id}/lab.ipynb`,
    };
  }

  async check(labId: string, stepId: string): Promise<CheckReport> {
    const lab = this.#lab(labId, stepId);
    return this.#exclusive(lab, () => this.#check(lab, stepId));
  }

  async solve(labId: string, stepId: string): Promise<CheckReport> {
    const lab = this.#lab(labId, stepId);
    return this.#exclusive(lab, async () => {
      this.#update(lab, stepId, { state: 'running', solutionShown: true });
      try {
        await this.#act(lab, stepId, lab.solution[stepId]);
      } catch (error) {
        this.#update(lab, stepId, { state: 'error' });
        throw new ApiError(
          502,
          'SOLUTION_FAILED',
          `The solution of "${stepId}" did not go through: ${error instanceof Error ? error.message : String(error)}`,
          { cause: error },
        );
      }
      return this.#check(lab, stepId);
    });
  }

  hint(labId: string, stepId: string): { index: number; total: number; markdown: string } {
    const lab = this.#lab(labId, stepId);
    const ladder = lab.hints[stepId] ?? [];
    const { hintsShown } = this.#progress.step(labId, stepId);
    const index = Math.min(hintsShown, ladder.length - 1);
    const markdown = ladder[index];
    if (markdown === undefined) throw new ApiError(404, 'NO_HINT', `Step "${stepId}" has no hints.`);
    this.#update(lab, stepId, { hintsShown: Math.max(hintsShown, index + 1) });
    return { index, total: ladder.length, markdown };
  }

  /** The hints that were shown already, for a page that was loaded again; records nothing. */
  shownHints(labId: string, stepId: string): string[] {
    const lab = this.#lab(labId, stepId);
    return (lab.hints[stepId] ?? []).slice(0, this.#progress.step(labId, stepId).hintsShown);
  }

  solution(labId: string, stepId: string): { markdown: string } {
    const lab = this.#lab(labId, stepId);
    this.#update(lab, stepId, { solutionShown: true });
    return { markdown: lab.solutionText[stepId] ?? '' };
  }

  answer(labId: string, stepId: string, name: string, value: unknown): StepSummary {
    const lab = this.#lab(labId, stepId);
    const { answers } = this.#progress.step(labId, stepId);
    this.#update(lab, stepId, { answers: { ...answers, [name]: value } });
    return this.#summary(lab, stepId);
  }

  async reset(labId: string, stepId?: string): Promise<LabSummary> {
    const lab = this.#lab(labId, stepId);
    return this.#exclusive(lab, async () => {
      const steps = stepId === undefined ? lab.yaml.steps.map((step) => step.id).toReversed() : [stepId];
      for (const step of steps) {
        try {
          await this.#act(lab, step, lab.reset[step]);
        } catch (error) {
          throw new ApiError(502, 'RESET_FAILED', `The reset of "${step}" did not go through: ${error instanceof Error ? error.message : String(error)}`, {
            cause: error,
          });
        }
        this.#progress.reset(labId, step);
        this.#publish({ type: 'step', lab: labId, step: this.#summary(lab, step) });
      }
      if (stepId === undefined) this.#publish({ type: 'reset', lab: labId });
      return this.get(labId);
    });
  }

  /** Everything a browser needs to be up to date. */
  snapshot(): LabEvent[] {
    return [...this.#labs.values()].flatMap((lab) =>
      lab.yaml.steps.map((step) => ({ type: 'step' as const, lab: lab.yaml.id, step: this.#summary(lab, step.id) })),
    );
  }

  async close(): Promise<void> {
    this.#closing.abort(new ApiError(503, 'SHUTTING_DOWN', 'The backend is stopping.'));
    await this.#progress.flush();
  }

  async #check(lab: Lab, stepId: string): Promise<CheckReport> {
    const id = lab.yaml.id;
    const { attempts, answers, since, passedAt } = this.#progress.step(id, stepId);
    this.#update(lab, stepId, { state: 'running', attempts: attempts + 1 });
    const check = lab.checks[stepId];
    const seconds = lab.yaml.steps.find((step) => step.id === stepId)?.checkSeconds ?? 30;
    if (check === undefined) throw new ApiError(500, 'NO_CHECK', `Step "${stepId}" has no check.`);
    const report = await runCheck(check, {
      cluster: this.#cluster,
      lab: id,
      step: stepId,
      answers,
      since,
      deadlineMs: seconds * 1000,
      signal: this.#closing.signal,
    });
    const state = report.verdict === 'PASS' ? 'passed' : report.verdict === 'FAIL' ? 'failed' : 'error';
    const first = report.verdict === 'PASS' && passedAt === undefined ? { passedAt: new Date().toISOString() } : {};
    this.#update(lab, stepId, { state, lastReport: report, ...first });
    this.#publish({ type: 'report', report });
    return report;
  }

  async #act(lab: Lab, stepId: string, act: Act | undefined): Promise<void> {
    const signal = AbortSignal.any([AbortSignal.timeout(actSeconds * 1000), this.#closing.signal]);
    await act?.({
      cluster: this.#cluster,
      labDir: lab.dir,
      signal,
      answer: async (name, value) => {
        this.answer(lab.yaml.id, stepId, name, value);
      },
    });
  }

  async #exclusive<T>(lab: Lab, work: () => Promise<T>): Promise<T> {
    const id = lab.yaml.id;
    if (this.#busy.has(id)) throw new ApiError(409, 'ALREADY_RUNNING', `Lab "${id}" is busy with another check, solution or reset. Wait for it to end.`);
    this.#busy.add(id);
    try {
      return await work();
    } finally {
      this.#busy.delete(id);
    }
  }

  #update(lab: Lab, stepId: string, change: Parameters<ProgressStore['update']>[2]): void {
    this.#progress.update(lab.yaml.id, stepId, change);
    this.#publish({ type: 'step', lab: lab.yaml.id, step: this.#summary(lab, stepId) });
  }

  #summary(lab: Lab, stepId: string): StepSummary {
    const step = lab.yaml.steps.find((entry) => entry.id === stepId);
    if (step === undefined) throw new ApiError(404, 'UNKNOWN_STEP', `Lab "${lab.yaml.id}" has no step "${stepId}".`);
    const { state, attempts, hintsShown, solutionShown, passedAt, lastReport } = this.#progress.step(lab.yaml.id, stepId);
    return {
      id: step.id,
      title: step.title,
      durationMinutes: step.durationMinutes,
      goal: step.goal,
      state,
      attempts,
      hintsShown,
      hintsTotal: lab.hints[stepId]?.length ?? 0,
      solutionShown,
      ...(passedAt !== undefined && { passedAt }),
      ...(lastReport !== undefined && { lastReport }),
    };
  }

  #lab(labId: string, stepId?: string): Lab {
    const lab = this.#labs.get(labId);
    if (lab === undefined) throw new ApiError(404, 'UNKNOWN_LAB', `There is no lab "${labId}". Labs: ${[...this.#labs.keys()].join(', ')}.`);
    if (stepId !== undefined) this.#summary(lab, stepId);
    return lab;
  }
}
