import { Poll } from '@lumino/polling';
import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';
import type { IDisposable } from '@lumino/disposable';

import { ApiError } from '../api.ts';
import type { LabsApi } from '../api.ts';
import type { LiveEvents } from '../live/liveEvents.ts';
import type { CheckReport, ClusterStatus, LabEvent, LabSummary, StepSummary } from '../protocol.ts';

export interface StepRef {
  lab: string;
  step: string;
}

/** What a person asked for and the backend is doing now. */
export type StepAction = 'check' | 'hint' | 'solution' | 'solve' | 'reset';

/**
 * The labs as the backend knows them, kept up to date by its events, by asking where there are none. Progress is only
 * the backend's: nothing is stored here or in notebooks.
 */
export class LabsModel implements IDisposable {
  readonly #api: LabsApi;
  readonly #live: LiveEvents;
  readonly #changed = new Signal<this, void>(this);
  readonly #hints = new Map<string, string[]>();
  readonly #solutions = new Map<string, string>();
  readonly #pending = new Map<string, StepAction>();
  readonly #poll: Poll;
  #labs: LabSummary[] = [];
  #cluster: ClusterStatus | undefined;
  #problem: string | undefined;
  #loaded = false;
  #selected: { lab?: string; step?: string } = {};

  constructor(api: LabsApi, live: LiveEvents) {
    this.#api = api;
    this.#live = live;
    live.event.connect(this.#onEvent, this);
    live.stateChanged.connect(this.#onLiveState, this);
    this.#poll = new Poll({
      name: '@dynamo-labs/extension:labs',
      factory: () => this.#load(),
      frequency: { interval: 10_000, backoff: true, max: 60_000 },
      standby: 'when-hidden',
    });
  }

  get changed(): ISignal<this, void> {
    return this.#changed;
  }

  get labs(): readonly LabSummary[] {
    return this.#labs;
  }

  get cluster(): ClusterStatus | undefined {
    return this.#cluster;
  }

  /** Why there is nothing to show, in words for the learner. */
  get problem(): string | undefined {
    return this.#problem;
  }

  get loaded(): boolean {
    return this.#loaded;
  }

  get selectedLab(): LabSummary | undefined {
    return this.#labs.find(({ id }) => id === this.#selected.lab);
  }

  /** The step that is open in the panel; commands without arguments mean it. */
  get selectedStep(): StepSummary | undefined {
    return this.selectedLab?.steps.find(({ id }) => id === this.#selected.step);
  }

  get isDisposed(): boolean {
    return this.#poll.isDisposed;
  }

  dispose(): void {
    if (this.isDisposed) return;
    this.#poll.dispose();
    this.#live.event.disconnect(this.#onEvent, this);
    this.#live.stateChanged.disconnect(this.#onLiveState, this);
    Signal.clearData(this);
  }

  step({ lab, step }: StepRef): StepSummary | undefined {
    return this.#labs.find(({ id }) => id === lab)?.steps.find(({ id }) => id === step);
  }

  /** Without `step`: the first one that has not passed. Without `lab`: the list of labs. */
  select(lab?: string, step?: string): void {
    const found = this.#labs.find(({ id }) => id === lab);
    const chosen = step ?? (lab === this.#selected.lab ? this.#selected.step : found?.steps.find(({ state }) => state !== 'passed')?.id);
    if (lab === this.#selected.lab && chosen === this.#selected.step) return;
    this.#selected = { ...(lab === undefined ? {} : { lab }), ...(chosen === undefined ? {} : { step: chosen }) };
    this.#changed.emit();
  }

  closeStep(): void {
    const { lab } = this.#selected;
    this.#selected = { ...(lab === undefined ? {} : { lab }) };
    this.#changed.emit();
  }

  pending(ref: StepRef): StepAction | undefined {
    return this.#pending.get(key(ref));
  }

  /** Texts of the hints shown so far, first one first. */
  hints(ref: StepRef): readonly string[] {
    return this.#hints.get(key(ref)) ?? [];
  }

  /** Fetches the texts of hints that were shown before the page was loaded. */
  async recallHints(ref: StepRef): Promise<void> {
    if ((this.step(ref)?.hintsShown ?? 0) <= this.hints(ref).length) return;
    this.#hints.set(key(ref), await this.#api.shownHints(ref.lab, ref.step));
    this.#changed.emit();
  }

  solution(ref: StepRef): string | undefined {
    return this.#solutions.get(key(ref));
  }

  async check(ref: StepRef): Promise<CheckReport> {
    return await this.#act(ref, 'check', () => this.#api.check(ref.lab, ref.step));
  }

  async solve(ref: StepRef): Promise<CheckReport> {
    return await this.#act(ref, 'solve', () => this.#api.solve(ref.lab, ref.step));
  }

  async showHint(ref: StepRef): Promise<void> {
    const { index, markdown } = await this.#act(ref, 'hint', () => this.#api.nextHint(ref.lab, ref.step));
    const known = [...this.hints(ref)];
    known[index] = markdown;
    this.#hints.set(key(ref), known);
    this.#changed.emit();
  }

  async showSolution(ref: StepRef): Promise<void> {
    const { markdown } = await this.#act(ref, 'solution', () => this.#api.solution(ref.lab, ref.step));
    this.#solutions.set(key(ref), markdown);
    this.#changed.emit();
  }

  async resetStep(ref: StepRef): Promise<void> {
    const lab = await this.#act(ref, 'reset', () => this.#api.resetStep(ref.lab, ref.step));
    this.#forgetTexts(ref);
    this.#takeLab(lab);
  }

  async resetLab(id: string): Promise<void> {
    const lab = await this.#api.resetLab(id);
    for (const step of lab.steps) this.#forgetTexts({ lab: id, step: step.id });
    this.#takeLab(lab);
  }

  async refresh(): Promise<void> {
    await this.#poll.refresh();
    await this.#poll.tick;
  }

  async #act<T>(ref: StepRef, action: StepAction, call: () => Promise<T>): Promise<T> {
    this.#pending.set(key(ref), action);
    this.#changed.emit();
    try {
      return await call();
    } finally {
      this.#pending.delete(key(ref));
      // Events bring the new state; where there are none, ask.
      if (this.#live.state !== 'live') await this.#load().catch(() => undefined);
      this.#changed.emit();
    }
  }

  async #load(): Promise<void> {
    try {
      [this.#labs, this.#cluster] = await Promise.all([this.#api.labs(), this.#api.status()]);
      this.#problem = undefined;
    } catch (error) {
      this.#cluster = undefined;
      this.#problem = error instanceof ApiError ? error.message : String(error);
      throw error;
    } finally {
      this.#loaded = true;
      this.#changed.emit();
    }
  }

  #onLiveState(): void {
    if (this.#live.state === 'live' || this.#live.state === 'down') void this.#poll.refresh();
  }

  #onEvent(_: LiveEvents, event: LabEvent): void {
    if (event.type === 'step') {
      this.#labs = this.#labs.map((lab) => (lab.id === event.lab ? { ...lab, steps: lab.steps.map((s) => (s.id === event.step.id ? event.step : s)) } : lab));
    } else if (event.type === 'report') {
      const { lab, step } = event.report;
      this.#labs = this.#labs.map((l) => (l.id === lab ? { ...l, steps: l.steps.map((s) => (s.id === step ? { ...s, lastReport: event.report } : s)) } : l));
    } else if (event.type === 'reset') {
      void this.#poll.refresh();
      return;
    } else return;
    this.#changed.emit();
  }

  #takeLab(lab: LabSummary): void {
    this.#labs = this.#labs.map((l) => (l.id === lab.id ? lab : l));
    this.#changed.emit();
  }

  #forgetTexts(ref: StepRef): void {
    this.#hints.delete(key(ref));
    this.#solutions.delete(key(ref));
  }
}

function key({ lab, step }: StepRef): string {
  return `${lab}/${step}`;
}
