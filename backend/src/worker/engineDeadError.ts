/** The engine fails step after step, or hangs in one: only a new process helps. `code` ENGINE_DEAD; named as vLLM's. */
export class EngineDeadError extends Error {
  readonly code = 'ENGINE_DEAD';
  constructor(message: string) {
    super(message);
    this.name = 'EngineDeadError';
  }
}

/** One failed step may be the fault of what was asked; so many in a row are the engine's. */
export const failedStepsUntilDead = 3;
