import type { HeldPrompt } from '../../engine/index.ts';
import type { Logger } from '../../observability/index.ts';
import type { Grant, GrantEvent, TransferAgent, TransferPool } from '../../transfer/index.ts';
import type { NixlStats } from './nixlStats.ts';

interface GrantedPrompt {
  requestId: string;
  remoteId: string;
  grant: Grant;
  release: () => void;
}

/** Prompts computed here for decode workers: blocks stay held exactly as long as their grant lives. */
export class GrantedPrompts {
  readonly #options: { leaseMs: number; logger: Logger; stats: NixlStats };
  readonly #agent: TransferAgent;
  readonly #pool: TransferPool;
  readonly #byGrant = new Map<number, GrantedPrompt>();
  readonly #byRemoteId = new Map<string, GrantedPrompt>();
  readonly #idle = new Set<() => void>();
  #again = 0;

  constructor(agent: TransferAgent, pool: TransferPool, options: { leaseMs: number; logger: Logger; stats: NixlStats }) {
    this.#agent = agent;
    this.#pool = pool;
    this.#options = options;
    agent.onGrantEnded((event) => this.#ended(event));
  }

  get open(): number {
    return this.#byGrant.size;
  }

  /** Throws TransferError, e.g. ADMISSION, where there are too many. */
  grant(requestId: string, { blocks, release }: HeldPrompt): { grant: Grant; remoteId: string } {
    const remoteId = this.#byRemoteId.has(requestId) ? `${requestId}-${++this.#again}` : requestId;
    const grant = this.#pool.grant(blocks, { leaseMs: this.#options.leaseMs, readers: 1, requestId });
    const prompt = { requestId, remoteId, grant, release };
    this.#byGrant.set(grant.ref.id, prompt);
    this.#byRemoteId.set(remoteId, prompt);
    return { grant, remoteId };
  }

  /** Resolves when no grant is open, or after so long; says which. */
  async idle(deadlineMs: number): Promise<boolean> {
    if (this.open === 0) return true;
    const idle = Promise.withResolvers<void>();
    this.#idle.add(idle.resolve);
    const late = setTimeout(idle.resolve, deadlineMs);
    await idle.promise;
    clearTimeout(late);
    this.#idle.delete(idle.resolve);
    return this.open === 0;
  }

  /** A decode worker will come for it. */
  renew(remoteId: string | undefined): void {
    const prompt = remoteId === undefined ? undefined : this.#byRemoteId.get(remoteId);
    if (prompt) this.#agent.renew(prompt.grant);
  }

  /** Nobody will read it: its blocks are free at once. False where it had ended. */
  cancel(remoteId: string): boolean {
    const prompt = this.#byRemoteId.get(remoteId);
    if (prompt === undefined) return false;
    this.#agent.revoke(prompt.grant);
    this.#forget(prompt);
    this.#options.stats.cancelledRequests += 1;
    return true;
  }

  #ended({ id, end, releases }: GrantEvent): void {
    const prompt = this.#byGrant.get(id);
    if (prompt === undefined) return;
    const { logger, leaseMs, stats } = this.#options;
    if (end === 'released') stats.releasedRequests += 1;
    else if (end !== 'revoked') {
      stats.expiredRequests += 1;
      logger.warn(
        `Releasing expired KV blocks for request ${prompt.requestId} which were retrieved by ${releases} decode worker(s) within ${leaseMs / 1000} seconds.`,
        { blocks: prompt.grant.blocks.length, state: end === 'expired_in_flight' ? 'in flight' : 'never asked for' },
      );
    }
    this.#forget(prompt);
  }

  #forget(prompt: GrantedPrompt): void {
    this.#byGrant.delete(prompt.grant.ref.id);
    this.#byRemoteId.delete(prompt.remoteId);
    prompt.release();
    if (this.open === 0) for (const resolve of this.#idle) resolve();
  }
}
