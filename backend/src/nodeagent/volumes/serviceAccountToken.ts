import type { KubeClient } from '../../kube/index.ts';
import type { Pod } from '../pods/pod.ts';

interface Held {
  token: string;
  /** Unix ms. */
  issuedAt: number;
  lifetimeMs: number;
}

/** Bound tokens by the TokenRequest API, kept until 80 % of their life (at most a day), as the kubelet's token manager does. */
export class ServiceAccountTokens {
  readonly #client: KubeClient;
  readonly #held = new Map<string, Held>();

  constructor(client: KubeClient) {
    this.#client = client;
  }

  async token(pod: Pod, request: { audience?: string; expirationSeconds: number }): Promise<string> {
    const key = JSON.stringify([pod.metadata.uid, request]);
    const held = this.#held.get(key);
    if (held !== undefined && Date.now() - held.issuedAt < Math.min(held.lifetimeMs * 0.8, 24 * 3600_000)) return held.token;
    const account = pod.spec.serviceAccountName ?? 'default';
    const answer = await this.#client.json<{ status: { token: string; expirationTimestamp: string } }>({
      method: 'POST',
      path: `/api/v1/namespaces/${pod.metadata.namespace}/serviceaccounts/${account}/token`,
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: {
          ...(request.audience === undefined ? {} : { audiences: [request.audience] }),
          expirationSeconds: request.expirationSeconds,
          boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: pod.metadata.name, uid: pod.metadata.uid },
        },
      },
    });
    const issuedAt = Date.now();
    this.#held.set(key, { token: answer.status.token, issuedAt, lifetimeMs: Date.parse(answer.status.expirationTimestamp) - issuedAt });
    return answer.status.token;
  }

  forget(uid: string): void {
    for (const key of this.#held.keys()) if ((JSON.parse(key) as [string])[0] === uid) this.#held.delete(key);
  }
}
