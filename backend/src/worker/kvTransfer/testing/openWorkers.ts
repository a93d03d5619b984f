import { afterAll, afterEach, expect, vi } from 'vitest';
import { temporaryTinyModel } from '../../../engine/testing/tinyModels.ts';
import { type TestWorker, testWorker, type TestWorkerOptions } from './prefillDecodePair.ts';

type Options = Omit<TestWorkerOptions, 'modelDir'>;

/** Workers of a test file's own model, closed after each test. `defaults`: what the workers of a mode are made with; `emptyMs`: how long pools may take. */
export function openWorkers({ defaults = () => ({}), emptyMs }: { defaults?: (mode: 'prefill' | 'decode') => Options; emptyMs?: number } = {}) {
  const files = temporaryTinyModel();
  afterAll(() => files[Symbol.dispose]());
  const open: TestWorker[] = [];
  afterEach(async () => {
    for (const worker of open.splice(0)) await worker[Symbol.asyncDispose]();
  });

  async function worker(mode: 'prefill' | 'decode', options: Options = {}): Promise<TestWorker> {
    const made = await testWorker(mode, { modelDir: files.dir, ...defaults(mode), ...options });
    open.push(made);
    return made;
  }

  /** Waits until nothing is computed, read or held. */
  async function empty(...workers: TestWorker[]): Promise<void> {
    await vi.waitFor(
      () => {
        for (const { engine } of workers)
          expect(engine.stats()).toMatchObject({ usedBlocks: 0, heldBlocks: 0, running: 0, waiting: 0, waitingForRemoteKvs: 0 });
      },
      emptyMs === undefined ? {} : { timeout: emptyMs },
    );
  }

  return { open, worker, empty };
}
