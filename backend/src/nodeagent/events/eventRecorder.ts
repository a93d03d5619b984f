import { KubeError, type KubeClient, type KubeObject } from '../../kube/index.ts';
import type { Pod } from '../pods/pod.ts';
import { rfc3339 } from '../pods/podConditions.ts';

const events = { group: '', version: 'v1', plural: 'events' };

export interface EventSubject {
  object: { kind: string; namespace?: string; name: string; uid: string; apiVersion: string; resourceVersion?: string; fieldPath?: string };
  /** The node that reports. */
  host: string;
}

export interface EventText {
  type: 'Normal' | 'Warning';
  reason: string;
  message: string;
}

/** The event subject of a pod, or of one of its containers. */
export function podSubject(pod: Pod, host: string, container?: string): EventSubject {
  const list = (pod.spec.initContainers ?? []).some((item) => item.name === container) ? 'initContainers' : 'containers';
  return {
    object: {
      kind: 'Pod',
      namespace: pod.metadata.namespace ?? 'default',
      name: pod.metadata.name,
      uid: pod.metadata.uid ?? '',
      apiVersion: 'v1',
      ...(pod.metadata.resourceVersion === undefined ? {} : { resourceVersion: pod.metadata.resourceVersion }),
      ...(container === undefined ? {} : { fieldPath: `spec.${list}{${container}}` }),
    },
    host,
  };
}

interface Sent {
  name: string;
  count: number;
}

/**
 * Writes core/v1 Events as client-go's recorder does: the same text about the same object raises the count of the event that
 * is there. Writing is in order, in the background, and never fails a caller.
 */
export class EventRecorder {
  readonly #client: KubeClient;
  readonly #sent = new Map<string, Sent>();
  readonly #onError: (error: unknown) => void;
  #queue: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(client: KubeClient, onError: (error: unknown) => void) {
    this.#client = client;
    this.#onError = onError;
  }

  record(subject: EventSubject, text: EventText): void {
    if (this.#closed) return;
    const at = Date.now();
    this.#queue = this.#queue.then(() => this.#write(subject, text, at)).catch(this.#onError);
  }

  /** Resolves when all that was recorded is written; later events are dropped. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#queue;
  }

  async #write(subject: EventSubject, text: EventText, at: number): Promise<void> {
    const { object, host } = subject;
    const key = JSON.stringify([object.kind, object.namespace, object.name, object.uid, object.fieldPath, host, text]);
    const namespace = object.namespace ?? 'default';
    const before = this.#sent.get(key);
    if (before !== undefined) {
      const sent = { name: before.name, count: before.count + 1 };
      const found = await this.#client.patch(events, sent.name, namespace, { count: sent.count, lastTimestamp: rfc3339(at) }).catch((error: unknown) => {
        // Events live for an hour: one that is gone starts anew.
        if (error instanceof KubeError && error.status === 404) return undefined;
        throw error;
      });
      if (found !== undefined) return this.#remember(key, sent);
    }
    const name = `${object.name}.${BigInt(Math.round(at * 1e6)).toString(16)}${Math.floor(Math.random() * 0x1000).toString(16)}`;
    const event: KubeObject & Record<string, unknown> = {
      metadata: { name, namespace },
      involvedObject: object,
      ...text,
      source: { component: 'kubelet', host },
      reportingComponent: 'kubelet',
      reportingInstance: host,
      firstTimestamp: rfc3339(at),
      lastTimestamp: rfc3339(at),
      count: 1,
    };
    await this.#client.create(events, event).catch((error: unknown) => {
      // The namespace is being deleted: its events go with it.
      if (error instanceof KubeError && (error.status === 403 || error.status === 404)) return;
      throw error;
    });
    this.#remember(key, { name, count: 1 });
  }

  #remember(key: string, sent: Sent): void {
    this.#sent.delete(key);
    this.#sent.set(key, sent);
    if (this.#sent.size > 4096) this.#sent.delete(this.#sent.keys().next().value!);
  }
}
