import type { EngineStats } from '../engine/index.ts';
import { float, fromEnv } from '../runtime/commandLine.ts';

/** A step may take so many looks, one behind another, before it counts as hung. */
const looks = 10;

export interface StepDeadlineOptions {
  stats: () => Pick<EngineStats, 'running' | 'steps' | 'failedStepsInARow'>;
  /** Milliseconds without a finished step while sequences are in the batch. */
  timeoutMs: number;
  /** Called once. */
  onHung: () => void;
}

/**
 * Notices a model thread that hangs: the event loop is alive then, and requests would wait without end. Looks are counted and not the time, so that a process
 * that was stopped, or its machine asleep, is not taken for hung.
 */
export class StepDeadline implements Disposable {
  readonly #options: StepDeadlineOptions;
  readonly #timer: NodeJS.Timeout;
  #unchanged = 0;
  #last = '';

  constructor(options: StepDeadlineOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#look(), options.timeoutMs / looks).unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { running, steps, failedStepsInARow } = this.#options.stats();
    const now = `${steps} ${failedStepsInARow}`;
    this.#unchanged = running > 0 && now === this.#last ? this.#unchanged + 1 : 0;
    this.#last = now;
    if (this.#unchanged < looks) return;
    this[Symbol.dispose]();
    this.#options.onHung();
  }
}

/** `DYNAMO_LABS_STEP_TIMEOUT_SECONDS`, 60 where it is not set. Throws `CommandLineExit` for what is no number. */
export function stepTimeoutMs(env: NodeJS.ProcessEnv): number {
  return fromEnv(env, 'DYNAMO_LABS_STEP_TIMEOUT_SECONDS', float(0.001), 60) * 1000;
}
