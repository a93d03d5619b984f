import { isDeepStrictEqual } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { KubeError } from '../../kube/index.ts';
import { podsType, type NodeContext } from './nodeContext.ts';
import type { Pod, PodStatus } from './pod.ts';

/**
 * Writes a pod's status: only the newest matters, one write at a time, tried again until it is written or the pod is gone.
 * The patch merges conditions by type (as the kubelet's does), so that conditions of others stay; qosClass is not touched.
 */
export class StatusWriter {
  readonly #context: NodeContext;
  readonly #pod: Pod;
  #wanted: PodStatus | undefined;
  #written: PodStatus | undefined;
  #writing: Promise<void> | undefined;
  #gone = false;

  constructor(context: NodeContext, pod: Pod) {
    this.#context = context;
    this.#pod = pod;
  }

  /** The last status that was asked for. */
  get current(): PodStatus | undefined {
    return this.#wanted;
  }

  set(status: PodStatus): void {
    this.#wanted = status;
    this.#kick();
  }

  #kick(): void {
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
      if (!this.#gone && !isDeepStrictEqual(this.#wanted, this.#written)) this.#kick();
    });
  }

  /** Resolves when the newest status is written (or the pod is gone). */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
  }

  /** The API object does not exist any more: nothing is written from now on. */
  stop(): void {
    this.#gone = true;
  }

  async #write(): Promise<void> {
    let waitMs = 100;
    while (!this.#gone && !isDeepStrictEqual(this.#wanted, this.#written)) {
      const status = this.#wanted!;
      try {
        await this.#patch(status);
        this.#written = status;
        waitMs = 100;
      } catch (error) {
        if (error instanceof KubeError && (error.status === 404 || error.status === 409)) return this.stop();
        this.#context.log.warn(`status of pod ${this.#pod.metadata.namespace}/${this.#pod.metadata.name} not written`, error);
        // A server that refuses this status will refuse it again: the next change is the next try.
        if (error instanceof KubeError && error.status >= 400 && error.status < 500 && error.status !== 429) {
          this.#written = status;
          continue;
        }
        await sleep(waitMs);
        waitMs = Math.min(waitMs * 2, 5_000);
      }
    }
  }

  async #patch(status: PodStatus): Promise<void> {
    const { name, namespace, uid } = this.#pod.metadata;
    await this.#context.client.patch(
      podsType,
      name,
      namespace,
      { metadata: { uid }, status: statusPatch(status) },
      { type: 'application/strategic-merge-patch+json', subresource: 'status' },
    );
  }
}

/** The patch merges address lists by address too: a pod that got a new one would then have two. */
function statusPatch(status: PodStatus): Record<string, unknown> {
  const replace = { $patch: 'replace' };
  return {
    ...status,
    podIP: status.podIP ?? null,
    podIPs: [replace, ...(status.podIPs ?? [])],
    hostIPs: [replace, ...(status.hostIPs ?? [])],
    reason: status.reason ?? null,
    message: status.message ?? null,
  };
}
