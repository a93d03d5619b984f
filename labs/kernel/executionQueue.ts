/** How one queued request ended. */
export type ExecutionOutcome = 'ok' | 'error' | 'aborted';

/**
 * Runs requests one after another. When one fails with `stopOnError`, exactly the requests that had been sent by then
 * are aborted: the failure is reported only after the event loop has read all that lay in the socket, so a request sent
 * by someone who has seen the failure is never aborted.
 */
export class ExecutionQueue {
  #tail: Promise<unknown> = Promise.resolve();
  #generation = 0;
  #received = 0;

  /**
   * `run` says whether it succeeded; `report` sends the answer. Aborted requests are reported too, in their turn, after
   * the one that failed.
   */
  add(task: { stopOnError: boolean; run(): Promise<boolean>; report(outcome: ExecutionOutcome): void }): Promise<void> {
    const generation = this.#generation;
    this.#received++;
    const turn = this.#tail.then(async () => {
      if (generation !== this.#generation) return task.report('aborted');
      const ok = await task.run();
      if (!ok && task.stopOnError) await this.#abortPending();
      task.report(ok ? 'ok' : 'error');
    });
    this.#tail = turn.catch(() => undefined);
    return turn;
  }

  /** Waits until a full turn of the event loop brought nothing new, then gives up on all that was received. */
  async #abortPending(): Promise<void> {
    for (let before = -1; before !== this.#received;) {
      before = this.#received;
      for (let turn = 0; turn < 4; turn++) await new Promise(setImmediate);
    }
    this.#generation++;
  }
}
