import type { PodProcess } from '../podnet/podNet.ts';

/** A kill under way. */
export interface Ending {
  /** Shortens the remaining grace. */
  hurry(graceMs: number): void;
}

/** Containers always get this much time after SIGTERM (kubelet minimumGracePeriodInSeconds). */
const minimumGraceMs = 2_000;

/** Ends a process: the preStop hook within the grace, SIGTERM to its group, SIGKILL when the grace is over. */
export function endProcess(
  process: PodProcess,
  options: { graceMs: number; preStop?: (signal: AbortSignal) => Promise<void>; onHookError: () => void },
): Ending {
  let deadline = Date.now() + options.graceMs;
  let timer: NodeJS.Timeout | undefined;
  let terminated = false;
  const hook = new AbortController();
  const arm = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => (terminated ? process.kill('SIGKILL') : hook.abort(new Error('grace period is over'))), Math.max(0, deadline - Date.now()));
  };
  const terminate = (): void => {
    terminated = true;
    deadline = Math.max(deadline, Date.now() + minimumGraceMs);
    process.kill('SIGTERM');
    arm();
  };
  void process.exited.finally(() => {
    clearTimeout(timer);
    hook.abort(new Error('container ended'));
  });
  if (options.preStop === undefined || options.graceMs === 0) terminate();
  else {
    arm();
    const aborted = new Promise<void>((resolve) => hook.signal.addEventListener('abort', () => resolve()));
    void Promise.race([options.preStop(hook.signal), aborted])
      .catch(options.onHookError)
      .finally(terminate);
  }
  return {
    hurry(graceMs) {
      deadline = Math.min(deadline, Date.now() + (terminated ? Math.max(graceMs, minimumGraceMs) : graceMs));
      arm();
    },
  };
}
