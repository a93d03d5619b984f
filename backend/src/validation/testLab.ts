import type { CheckReport } from '../protocol/index.ts';
import type { Answers } from './checkContext.ts';
import type { ClusterView } from './clusterView.ts';
import type { Act, Lab, WrongAnswer } from './labDefinition.ts';
import { runCheck } from './runCheck.ts';

export type Pass = 'fresh' | 'wrong' | 'solution' | 'reset';

/** The outcome of one pass over one step: what JUnit calls a test case. */
export interface PassResult {
  lab: string;
  step: string;
  pass: Pass;
  /** The wrong answer's name, in pass `wrong`. */
  name?: string;
  /** FAIL: the lab is wrong. ERROR: the infrastructure did not let us find out. */
  verdict: 'PASS' | 'FAIL' | 'ERROR';
  message?: string;
  durationMs: number;
  report?: CheckReport;
}

export interface TestLabOptions {
  lab: Lab;
  cluster: ClusterView;
  /** Only this step; the steps before it are solved without being tested. */
  step?: string;
  onResult?: (result: PassResult) => void;
  /** Milliseconds for one act (a solution, a wrong answer, a reset); default 180 000. */
  actDeadlineMs?: number;
  signal?: AbortSignal;
}

/** What one attempt at a step consists of: it starts when the step was last reset. */
interface Attempt {
  since: string;
  answers: Answers;
}

/**
 * Proves a lab: for each step, the check fails when nothing was done (fresh), fails for its stated reason on each known
 * mistake (wrong), passes after the solution, and a reset of the lab leaves nothing behind.
 */
export async function testLab(options: TestLabOptions): Promise<PassResult[]> {
  const { lab, cluster } = options;
  const results: PassResult[] = [];
  const steps = lab.yaml.steps.map((step) => step.id);
  const until = options.step === undefined ? steps.length : steps.indexOf(options.step) + 1;

  const act = async (run: Act | undefined, attempt: Attempt): Promise<void> => {
    const deadline = AbortSignal.timeout(options.actDeadlineMs ?? 180_000);
    const signal = options.signal === undefined ? deadline : AbortSignal.any([deadline, options.signal]);
    await run?.({
      cluster,
      labDir: lab.dir,
      signal,
      answer: async (name, value) => {
        attempt.answers[name] = value;
      },
    });
  };
  const check = (step: string, attempt: Attempt): Promise<CheckReport> => {
    const seconds = lab.yaml.steps.find((entry) => entry.id === step)?.checkSeconds ?? 30;
    return runCheck(lab.checks[step]!, {
      cluster,
      lab: lab.yaml.id,
      step,
      ...attempt,
      deadlineMs: seconds * 1000,
      ...(options.signal && { signal: options.signal }),
    });
  };
  const record = async (
    step: string,
    pass: Pass,
    name: string | undefined,
    body: () => Promise<Omit<PassResult, 'lab' | 'step' | 'pass' | 'name' | 'durationMs'>>,
  ): Promise<void> => {
    const start = performance.now();
    const outcome = await body().catch((error: unknown) => ({ verdict: 'ERROR' as const, message: error instanceof Error ? error.message : String(error) }));
    const result: PassResult = {
      lab: lab.yaml.id,
      step,
      pass,
      ...(name !== undefined && { name }),
      ...outcome,
      durationMs: Math.round(performance.now() - start),
    };
    results.push(result);
    options.onResult?.(result);
  };

  for (const step of steps.slice(0, until)) {
    const tested = options.step === undefined || options.step === step;
    const readOnly = lab.yaml.steps.find((entry) => entry.id === step)?.readOnly !== undefined;
    let attempt: Attempt = { since: new Date().toISOString(), answers: {} };
    if (tested && !readOnly) await record(step, 'fresh', undefined, async () => expectFail(await check(step, attempt)));
    for (const wrong of tested ? lab.wrong.filter((entry) => entry.step === step) : []) {
      await record(step, 'wrong', wrong.name, async () => {
        attempt = { since: new Date().toISOString(), answers: {} };
        await act(wrong.apply, attempt);
        const outcome = expectWrong(await check(step, attempt), wrong);
        await act(lab.reset[step], attempt);
        return outcome;
      });
    }
    attempt = { since: new Date().toISOString(), answers: {} };
    await record(step, 'solution', undefined, async () => {
      await act(lab.solution[step], attempt);
      return tested ? expectPass(await check(step, attempt)) : { verdict: 'PASS' };
    });
    if (results.at(-1)?.verdict !== 'PASS') break;
  }
  await record(lab.yaml.id, 'reset', undefined, async () => {
    for (const step of steps.toReversed()) await act(lab.reset[step], { since: '', answers: {} });
    const left = await lab.leftovers(cluster);
    return left.length === 0 ? { verdict: 'PASS' } : { verdict: 'FAIL', message: `reset left behind: ${left.join(', ')}` };
  });
  return results;
}

function summary(report: CheckReport): string {
  const failed = report.assertions
    .filter((assertion) => assertion.verdict === 'FAIL')
    .map((assertion) => `${assertion.id}: expected ${assertion.expected}, observed ${assertion.observed}`);
  return report.error === undefined ? failed.join('; ') : `${report.error.code}: ${report.error.message}`;
}

type Outcome = Pick<PassResult, 'verdict' | 'message' | 'report'>;

function expectFail(report: CheckReport): Outcome {
  if (report.verdict === 'FAIL') return { verdict: 'PASS', report };
  if (report.verdict === 'ERROR') return { verdict: 'ERROR', message: summary(report), report };
  return { verdict: 'FAIL', message: 'the check passes although nothing was done', report };
}

function expectWrong(report: CheckReport, wrong: WrongAnswer): Outcome {
  if (report.verdict === 'ERROR') return { verdict: 'ERROR', message: summary(report), report };
  const first = report.assertions.find((assertion) => assertion.verdict === 'FAIL');
  if (first?.id === wrong.expect.assertion) return { verdict: 'PASS', report };
  return {
    verdict: 'FAIL',
    message: `must fail first at "${wrong.expect.assertion}", ${first === undefined ? 'but the check passed' : `failed at ${summary(report)}`}`,
    report,
  };
}

function expectPass(report: CheckReport): Outcome {
  if (report.verdict === 'PASS') return { verdict: 'PASS', report };
  return { verdict: report.verdict, message: summary(report), report };
}
