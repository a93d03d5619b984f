import type { HeldPrompt } from '../../engine/index.ts';
import type { PreprocessedRequest } from '../../protocol/index.ts';
import type { Grant, TransferAgent, TransferPool } from '../../transfer/index.ts';

/** Nobody has come by then: the reader is not there, or does not want them. One that reads keeps its grant alive. */
const earlyLeaseMs = 5_000;

/**
 * Blocks of prompts that are still being computed, for decode workers that read them meanwhile. One grant per prompt at a time: the next chunk is offered when
 * the reader has released the last offer, so that readers set the pace.
 */
export class EarlyOffers {
  readonly #pool: TransferPool;
  readonly #leaseMs: number;
  readonly #byRequest = new WeakMap<PreprocessedRequest, number>();
  readonly #release = new Map<number, () => void>();

  constructor(agent: TransferAgent, pool: TransferPool, { leaseMs }: { leaseMs: number }) {
    this.#pool = pool;
    this.#leaseMs = Math.min(leaseMs, earlyLeaseMs);
    agent.onGrantEnded(({ id }) => {
      this.#release.get(id)?.();
      this.#release.delete(id);
    });
  }

  /** Grants that are open. */
  get open(): number {
    return this.#release.size;
  }

  wanted(request: PreprocessedRequest): boolean {
    return !this.#release.has(this.#byRequest.get(request) ?? -1);
  }

  /** Throws TransferError, e.g. ADMISSION, where there are too many. */
  grant(request: PreprocessedRequest, { blocks, release }: HeldPrompt): Grant {
    const grant = this.#pool.grant(blocks, { leaseMs: this.#leaseMs, readers: 1, requestId: request.request_id });
    this.#byRequest.set(request, grant.ref.id);
    this.#release.set(grant.ref.id, release);
    return grant;
  }
}
