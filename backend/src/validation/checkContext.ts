import type { Assertion, CheckReport, Evidence, Verdict } from '../protocol/index.ts';
import type { ClusterView } from './clusterView.ts';

export interface AssertionInput {
  id: string;
  title: string;
  ok: boolean;
  expected: string;
  observed: string;
  /** Ids that `evidence()` returned: what was looked at to decide. At least one. */
  evidence: string[];
  /** Shown with the failure: one sentence that leads on, not the solution. */
  hint?: string;
}

/** Thrown by `require` to end a check whose remaining assertions make no sense; the report is complete as it is. */
export class CheckStopped extends Error {
  readonly code = 'CHECK_STOPPED';
}

/** An answer the learner handed in with `step.answer(name, value)`. */
export type Answers = Record<string, unknown>;

/** Evidence larger than this many characters of JSON is cut. */
const evidenceLimit = 8_000;

/** What a check works with: the cluster to look at, the learner's answers, and the record it leaves. */
export class CheckContext {
  readonly cluster: ClusterView;
  readonly lab: string;
  readonly step: string;
  readonly answers: Answers;
  /** RFC 3339: requests before this moment belong to an earlier attempt (the lab's start, or the step's last reset). */
  readonly since: string;
  /** Deadline of the whole check. */
  readonly signal: AbortSignal;
  readonly #assertions: Assertion[] = [];
  readonly #evidence: Evidence[] = [];

  constructor(options: { cluster: ClusterView; lab: string; step: string; answers: Answers; since: string; signal: AbortSignal }) {
    this.cluster = options.cluster;
    this.lab = options.lab;
    this.step = options.step;
    this.answers = options.answers;
    this.since = options.since;
    this.signal = options.signal;
  }

  /** Keeps what was seen, and where. Returns the id to name in an assertion. */
  evidence(source: string, data: unknown): string {
    const text = JSON.stringify(data, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value)) ?? 'null';
    const id = `e${this.#evidence.length + 1}`;
    const kept: unknown = text.length <= evidenceLimit ? JSON.parse(text) : `${text.slice(0, evidenceLimit)}… (${text.length} characters)`;
    this.#evidence.push({ id, source, time: new Date().toISOString(), data: kept });
    return id;
  }

  /** Records one assertion and returns whether it holds. */
  assert(input: AssertionInput): boolean {
    const { ok, hint, ...rest } = input;
    this.#assertions.push({ ...rest, verdict: ok ? 'PASS' : 'FAIL', ...(!ok && hint !== undefined && { hint }) });
    return ok;
  }

  /** Like `assert`, and ends the check when it does not hold. */
  require(input: AssertionInput): void {
    if (!this.assert(input)) throw new CheckStopped(input.id);
  }

  /** The report so far. A check that asserted nothing is an ERROR: it proved nothing. */
  report(timing: { startedAt: string; durationMs: number }, error?: { code: string; message: string }): CheckReport {
    const nothing =
      error === undefined && this.#assertions.length === 0
        ? { code: 'CHECK_EMPTY', message: 'The check made no assertion; this is a defect of the lab.' }
        : undefined;
    const failure = error ?? nothing;
    const verdict: Verdict = failure !== undefined ? 'ERROR' : this.#assertions.every((assertion) => assertion.verdict === 'PASS') ? 'PASS' : 'FAIL';
    return { lab: this.lab, step: this.step, verdict, ...timing, assertions: this.#assertions, evidence: this.#evidence, ...(failure && { error: failure }) };
  }
}
