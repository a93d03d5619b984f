import type { NativeTransferAgent, NativeTransferResult } from '@dynamo-labs/native';
import { TransferError, type TransferPhase, type TransportName } from './transferError.ts';

export interface TransferProgress {
  bytesDone: number;
  bytes: number;
  phase: TransferPhase;
  transport: TransportName;
}

/** A transfer that succeeded: what was moved, how, and every step with its time. */
export type TransferReport = NativeTransferResult;

/** One read or write on its way. It settles by its deadline plus one second, whatever happens. */
export class Transfer {
  readonly id: number;
  /** Fulfilled when every byte has been verified at its destination; otherwise rejected with a {@link TransferError}. */
  readonly done: Promise<TransferReport>;
  readonly #agent: NativeTransferAgent;
  #result: NativeTransferResult | undefined;
  #resolve!: (report: TransferReport) => void;
  #reject!: (error: TransferError) => void;

  constructor(agent: NativeTransferAgent, started: number | NativeTransferResult) {
    this.#agent = agent;
    this.id = typeof started === 'number' ? started : started.id;
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (typeof started !== 'number') this.settle(started);
  }

  /** Nothing is written to the local blocks any more once `done` has settled. No effect on one that is over. */
  cancel(): void {
    if (!this.#result) this.#agent.cancel(this.id);
  }

  progress(): TransferProgress {
    const result = this.#result;
    const live = result ? undefined : this.#agent.progress(this.id);
    if (live) return live as TransferProgress;
    if (!result) return { bytesDone: 0, bytes: 0, phase: 'done', transport: 'none' };
    return { bytesDone: result.bytesDone, bytes: result.bytes, phase: 'done', transport: result.transport as TransportName };
  }

  /** Its result, success or not; nothing while it is under way. */
  get result(): NativeTransferResult | undefined {
    return this.#result;
  }

  /** For the agent that started it. */
  settle(result: NativeTransferResult): void {
    this.#result = result;
    if (result.code === 'SUCCESS') this.#resolve(result);
    else this.#reject(TransferError.fromResult(result));
  }
}
