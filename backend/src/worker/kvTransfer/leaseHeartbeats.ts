import type { KvTransferParams, PreprocessedRequest } from '../../protocol/index.ts';
import { parseGrant, type TransferAgent } from '../../transfer/index.ts';

const prefix = 'HB:';
/** Heartbeats per lease: vLLM's. */
const perLease = 6;

/** The prompt that a notification wants kept; undefined for other notifications. */
export function heartbeatOf(payload: Buffer): string | undefined {
  const text = payload.toString('utf8');
  return text.startsWith(prefix) ? text.slice(prefix.length) : undefined;
}

/** While requests wait here for room, keeps their blocks' leases alive at the prefill worker; a read does so itself. As vLLM's connector since 2026. */
export class LeaseHeartbeats implements Disposable {
  readonly #agent: TransferAgent;
  readonly #timers = new Map<PreprocessedRequest, NodeJS.Timeout>();

  constructor(agent: TransferAgent) {
    this.#agent = agent;
  }

  start(request: PreprocessedRequest, { grant, remote_request_id: id }: KvTransferParams): void {
    if (grant === undefined || id === undefined) return;
    const beat = (): void => {
      try {
        this.#agent.notify(parseGrant(grant), prefix + id);
      } catch {
        // Not a grant, as the read will say; or a closed agent.
        this.stop(request);
      }
    };
    const { leaseMs } = grant as { leaseMs?: unknown };
    if (typeof leaseMs !== 'number' || !(leaseMs > 0)) return;
    this.#timers.set(request, setInterval(beat, Math.max(1, leaseMs / perLease)).unref());
  }

  stop(request: PreprocessedRequest): void {
    clearInterval(this.#timers.get(request));
    this.#timers.delete(request);
  }

  [Symbol.dispose](): void {
    for (const request of [...this.#timers.keys()]) this.stop(request);
  }
}
