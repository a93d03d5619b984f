import type { CheckReport } from '../protocol/index.ts';
import { CheckContext, CheckStopped, type Answers } from './checkContext.ts';
import type { ClusterView } from './clusterView.ts';

export interface RunCheckOptions {
  cluster: ClusterView;
  lab: string;
  step: string;
  answers: Answers;
  since: string;
  /** Milliseconds for the whole check. */
  deadlineMs: number;
  signal?: AbortSignal;
}

export type Check = (context: CheckContext) => Promise<void>;

/** Runs one check to a report. What a check throws is an ERROR: only assertions can fail a learner. */
export async function runCheck(check: Check, options: RunCheckOptions): Promise<CheckReport> {
  const { deadlineMs, signal: outer, ...rest } = options;
  const deadline = AbortSignal.timeout(deadlineMs);
  const signal = outer === undefined ? deadline : AbortSignal.any([deadline, outer]);
  const context = new CheckContext({ ...rest, signal });
  const startedAt = new Date().toISOString();
  const start = performance.now();
  const timing = (): { startedAt: string; durationMs: number } => ({ startedAt, durationMs: Math.round(performance.now() - start) });
  const aborted = new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  try {
    await Promise.race([check(context), aborted]);
    return context.report(timing());
  } catch (error) {
    if (error instanceof CheckStopped) return context.report(timing());
    if (deadline.aborted)
      return context.report(timing(), {
        code: 'CHECK_TIMEOUT',
        message: `The check did not finish within ${deadlineMs / 1000} s. The cluster may be overloaded: look at \`npm run status\` and check again.`,
      });
    const code = typeof (error as { code?: unknown }).code === 'string' ? (error as { code: string }).code : 'CHECK_ERROR';
    return context.report(timing(), { code, message: error instanceof Error ? error.message : String(error) });
  }
}
