import { setTimeout as sleep } from 'node:timers/promises';
import { KubeError, type KubeClient, type KubeObject } from '../../kube/index.ts';
import { resourceType } from '../names.ts';

export interface LeaderElectionOptions {
  client: Pick<KubeClient, 'find' | 'create' | 'patch'>;
  namespace: string;
  /** Name of the Lease. */
  name: string;
  /** This candidate, e.g. the pod's name. */
  identity: string;
  /** Milliseconds; client-go's defaults 15 000, 10 000 and 2 000. */
  leaseMs?: number;
  renewDeadlineMs?: number;
  retryMs?: number;
}

interface Lease extends KubeObject {
  spec?: { holderIdentity?: string; leaseDurationSeconds?: number; acquireTime?: string; renewTime?: string; leaseTransitions?: number };
}

export class LeadershipLostError extends Error {
  readonly code = 'LEADERSHIP_LOST';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'LeadershipLostError';
  }
}

/**
 * Leader election by a Lease, as client-go does it: a holder's time is judged by when this candidate saw it renew, so the
 * clocks of candidates need not agree.
 */
export class LeaderElection {
  readonly #options: Required<LeaderElectionOptions>;
  #observed: { renewTime: string; at: number } | undefined;
  #lease: Lease | undefined;
  #leading = false;

  constructor(options: LeaderElectionOptions) {
    this.#options = { leaseMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000, ...options };
  }

  get leading(): boolean {
    return this.#leading;
  }

  /** Resolves when this candidate holds the lease; rejects when `signal` aborts. */
  async acquire(signal: AbortSignal): Promise<void> {
    while (!(await this.#tryHold())) await sleep(this.#options.retryMs * (1 + 0.2 * Math.random()), undefined, { signal });
    this.#leading = true;
  }

  /** Keeps the lease until `signal` aborts; rejects with `LeadershipLostError` when it could not be renewed in time. */
  async hold(signal: AbortSignal): Promise<void> {
    let renewedAt = performance.now();
    for (;;) {
      try {
        await sleep(this.#options.retryMs, undefined, { signal });
      } catch {
        return;
      }
      let trouble: unknown;
      const held = await this.#tryHold().catch((error: unknown) => {
        trouble = error;
        return false;
      });
      if (held) renewedAt = performance.now();
      else if (trouble === undefined || performance.now() - renewedAt > this.#options.renewDeadlineMs) {
        this.#leading = false;
        throw new LeadershipLostError(trouble === undefined ? 'another candidate holds the lease' : 'the lease could not be renewed in time', {
          cause: trouble,
        });
      }
    }
  }

  /** Gives the lease back, so that the next candidate need not wait for it to expire. */
  async release(): Promise<void> {
    if (!this.#leading || this.#lease === undefined) return;
    this.#leading = false;
    const { client, name, namespace } = this.#options;
    const { resourceVersion } = this.#lease.metadata;
    await client.patch(resourceType.lease, name, namespace, {
      metadata: { resourceVersion },
      spec: { holderIdentity: '', leaseDurationSeconds: 1, renewTime: microTime() },
    });
  }

  async #tryHold(): Promise<boolean> {
    const { client, name, namespace, identity, leaseMs } = this.#options;
    const lease = await client.find<Lease>(resourceType.lease, name, namespace);
    const now = microTime();
    const spec = { holderIdentity: identity, leaseDurationSeconds: Math.ceil(leaseMs / 1000), renewTime: now };
    try {
      if (lease === undefined) {
        const object = {
          apiVersion: 'coordination.k8s.io/v1',
          kind: 'Lease',
          metadata: { name, namespace },
          spec: { ...spec, acquireTime: now, leaseTransitions: 0 },
        };
        this.#lease = await client.create<Lease>(resourceType.lease, object);
        return true;
      }
      const holder = lease.spec?.holderIdentity ?? '';
      const renewTime = lease.spec?.renewTime ?? '';
      if (this.#observed?.renewTime !== renewTime) this.#observed = { renewTime, at: performance.now() };
      const expired = performance.now() - this.#observed.at > (lease.spec?.leaseDurationSeconds ?? 0) * 1000;
      if (holder !== '' && holder !== identity && !expired) return false;
      const { resourceVersion } = lease.metadata;
      const taken = holder === identity ? spec : { ...spec, acquireTime: now, leaseTransitions: (lease.spec?.leaseTransitions ?? 0) + 1 };
      this.#lease = await client.patch<Lease>(resourceType.lease, name, namespace, { metadata: { resourceVersion }, spec: taken });
      return true;
    } catch (error) {
      // Another candidate was faster: look again.
      if (error instanceof KubeError && (error.reason === 'Conflict' || error.reason === 'AlreadyExists')) return false;
      throw error;
    }
  }
}

/** `metav1.MicroTime`: six digits after the second. */
function microTime(): string {
  return new Date().toISOString().replace('Z', '000Z');
}
