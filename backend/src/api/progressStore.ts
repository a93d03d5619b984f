import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { CheckReport, StepState } from '../protocol/index.ts';

/** What is remembered of one step. Kept by the backend, never in the notebook. */
export interface StepProgress {
  state: StepState;
  attempts: number;
  hintsShown: number;
  solutionShown: boolean;
  passedAt?: string;
  lastReport?: CheckReport;
  /** Answers the learner handed in. */
  answers: Record<string, unknown>;
  /** RFC 3339 of the last reset: earlier requests do not count. */
  since: string;
}

type Progress = Record<string, Record<string, StepProgress>>;

/** One JSON file, replaced atomically; survives restarts of everything. A file that cannot be read is set aside, not lost. */
export class ProgressStore {
  readonly #file: string;
  #progress: Progress = {};
  #writing: Promise<void> = Promise.resolve();

  private constructor(file: string) {
    this.#file = file;
  }

  static async open(dir: string): Promise<ProgressStore> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const store = new ProgressStore(path.join(dir, 'progress.json'));
    const text = await readFile(store.#file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '{}';
      throw error;
    });
    try {
      store.#progress = JSON.parse(text) as Progress;
    } catch {
      const aside = `${store.#file}.broken-${Date.now()}`;
      await rename(store.#file, aside);
      console.error(`progress file was not JSON; kept as ${aside}, starting anew`);
    }
    // A check that was running when the backend ended did not finish.
    for (const steps of Object.values(store.#progress)) {
      for (const step of Object.values(steps)) if (step.state === 'running') step.state = 'todo';
    }
    return store;
  }

  step(lab: string, step: string): StepProgress {
    const steps = (this.#progress[lab] ??= {});
    return (steps[step] ??= fresh());
  }

  update(lab: string, step: string, change: Partial<StepProgress>): StepProgress {
    const progress = Object.assign(this.step(lab, step), change);
    this.#save();
    return progress;
  }

  reset(lab: string, step: string): StepProgress {
    (this.#progress[lab] ??= {})[step] = fresh();
    this.#save();
    return this.step(lab, step);
  }

  /** Resolves when everything so far is on disk. */
  flush(): Promise<void> {
    return this.#writing;
  }

  #save(): void {
    const text = JSON.stringify(this.#progress, undefined, 1);
    this.#writing = this.#writing
      .then(async () => {
        await writeFile(`${this.#file}.tmp`, text, { mode: 0o600 });
        await rename(`${this.#file}.tmp`, this.#file);
      })
      .catch((error: unknown) => console.error(`progress could not be saved: ${error instanceof Error ? error.message : String(error)}`));
  }
}

function fresh(): StepProgress {
  return { state: 'todo', attempts: 0, hintsShown: 0, solutionShown: false, answers: {}, since: new Date().toISOString() };
}
