import { describe, expect, it, vi } from 'vitest';
import { KubeError, type KubeObject, type ResourceType } from '../../kube/index.ts';
import { LeaderElection, type LeaderElectionOptions } from './leaderElection.ts';

/** One Lease with optimistic locking, as the API server keeps it. */
class LeaseServer {
  lease: KubeObject | undefined;
  broken = false;
  readonly client: LeaderElectionOptions['client'] = {
    find: <T extends KubeObject>(): Promise<T | undefined> => this.#answer(() => structuredClone(this.lease) as T | undefined),
    create: <T extends KubeObject>(_type: ResourceType, object: KubeObject): Promise<T> =>
      this.#answer(() => {
        if (this.lease !== undefined) throw new KubeError('exists', 409, 'AlreadyExists');
        this.lease = { ...object, metadata: { ...object.metadata, resourceVersion: '1' } };
        return structuredClone(this.lease) as T;
      }),
    patch: <T extends KubeObject>(_type: ResourceType, _name: string, _namespace: string | undefined, body: unknown): Promise<T> =>
      this.#answer(() => {
        const patch = body as { metadata: { resourceVersion?: string }; spec: object };
        if (this.lease?.metadata.resourceVersion !== patch.metadata.resourceVersion) throw new KubeError('changed', 409, 'Conflict');
        this.lease = {
          ...this.lease!,
          metadata: { ...this.lease!.metadata, resourceVersion: String(Number(this.lease!.metadata.resourceVersion) + 1) },
          spec: { ...(this.lease!['spec'] as object), ...patch.spec },
        };
        return structuredClone(this.lease) as T;
      }),
  };

  get spec(): Record<string, unknown> {
    return this.lease?.['spec'] as Record<string, unknown>;
  }

  async #answer<T>(work: () => T): Promise<T> {
    if (this.broken) throw new KubeError('no answer', 0, 'Unreachable');
    return work();
  }

  candidate(identity: string, renewDeadlineMs = 1000): LeaderElection {
    return new LeaderElection({ client: this.client, namespace: 'ns', name: 'lease', identity, leaseMs: 1000, renewDeadlineMs, retryMs: 5 });
  }
}

describe('LeaderElection', () => {
  it('lets one candidate lead, and the next as soon as it gives the lease back', async () => {
    const server = new LeaseServer();
    const signal = AbortSignal.timeout(10_000);
    const first = server.candidate('first');
    const second = server.candidate('second');
    await first.acquire(signal);
    const waiting = second.acquire(signal);
    const stop = new AbortController();
    const holding = first.hold(stop.signal);
    await vi.waitFor(() => expect(Number(server.lease?.metadata.resourceVersion)).toBeGreaterThan(3));
    expect([first.leading, second.leading]).toEqual([true, false]);
    stop.abort();
    await holding;
    await first.release();
    await waiting;
    expect([first.leading, second.leading]).toEqual([false, true]);
    expect(server.spec).toMatchObject({ holderIdentity: 'second', leaseTransitions: 1 });
  });

  it('takes over from a holder that stopped renewing', async () => {
    const server = new LeaseServer();
    const signal = AbortSignal.timeout(10_000);
    await server.candidate('dead').acquire(signal);
    const heir = server.candidate('heir');
    await heir.acquire(signal);
    expect(server.spec['holderIdentity']).toBe('heir');
  });

  it('stops leading when another holds the lease', async () => {
    const server = new LeaseServer();
    const signal = AbortSignal.timeout(10_000);
    const candidate = server.candidate('first');
    await candidate.acquire(signal);
    const holding = candidate.hold(signal);
    server.lease = {
      ...server.lease!,
      metadata: { ...server.lease!.metadata, resourceVersion: '99' },
      spec: { ...server.spec, holderIdentity: 'thief', renewTime: 'new' },
    };
    await expect(holding).rejects.toThrow('another candidate holds the lease');
    expect(candidate.leading).toBe(false);
  });

  it('stops leading when it cannot renew in time', async () => {
    const server = new LeaseServer();
    const signal = AbortSignal.timeout(10_000);
    const candidate = server.candidate('first', 30);
    await candidate.acquire(signal);
    server.broken = true;
    await expect(candidate.hold(signal)).rejects.toThrow('the lease could not be renewed in time');
  });

  it('gives up waiting when it is told to', async () => {
    const server = new LeaseServer();
    await server.candidate('first').acquire(AbortSignal.timeout(1000));
    await expect(server.candidate('second').acquire(AbortSignal.timeout(20))).rejects.toThrow();
  });
});
