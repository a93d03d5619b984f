/** `failed`: the engine cannot compute any more. */
export type WorkerPhase = 'starting' | 'ready' | 'draining' | 'closed' | 'failed';

/** What the probes are told about a worker. */
export class WorkerHealth {
  phase: WorkerPhase = 'starting';
  /** What the canary last found. */
  endpointHealthy = true;
  /**
   * `/live` answers what `/health` does: so it was in the releases whose operator switches the canary on, where one failed check makes the kubelet
   * restart the worker.
   */
  readonly #liveIsHealth: boolean;

  constructor(options: { liveIsHealth: boolean }) {
    this.#liveIsHealth = options.liveIsHealth;
  }

  get ready(): boolean {
    return this.phase === 'ready' && this.endpointHealthy;
  }

  get live(): boolean {
    if (this.phase === 'failed') return false;
    return !this.#liveIsHealth || (this.phase !== 'starting' && this.endpointHealthy);
  }

  get status(): 'ready' | 'notready' {
    return this.ready ? 'ready' : 'notready';
  }
}
