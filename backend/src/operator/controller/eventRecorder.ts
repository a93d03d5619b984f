import type { KubeClient, KubeObject } from '../../kube/index.ts';
import { dynamoApiVersion, resourceType } from '../names.ts';

type EventClient = Pick<KubeClient, 'create' | 'patch'>;
export type EventType = 'Normal' | 'Warning';

interface Recorded {
  name: string;
  count: number;
  firstTimestamp: string;
}

const mostRemembered = 1000;

/** Writes Kubernetes Events; the same event on the same object counts up instead of piling up. */
export class EventRecorder {
  readonly #client: EventClient;
  readonly #onError: (error: unknown) => void;
  readonly #known = new Map<string, Recorded>();
  readonly #once = new Set<string>();
  #last: Promise<void> = Promise.resolve();

  constructor(client: EventClient, onError: (error: unknown) => void) {
    this.#client = client;
    this.#onError = onError;
  }

  /** Never rejects and never blocks the caller: an event is a courtesy. Events are written in the order of calls. */
  record(object: KubeObject, kind: string, type: EventType, reason: string, message: string): void {
    this.#last = this.#last.then(() => this.#write(object, kind, type, reason, message)).catch(this.#onError);
  }

  /** Like `record`, once per generation of the object: the watch may show an older status than the one just written. */
  recordOnce(object: KubeObject, kind: string, type: EventType, reason: string, message: string): void {
    const key = [object.metadata.uid, object.metadata.generation, reason, message].join('\n');
    if (this.#once.has(key)) return;
    if (this.#once.size >= mostRemembered) this.#once.delete(this.#once.values().next().value!);
    this.#once.add(key);
    this.record(object, kind, type, reason, message);
  }

  /** Resolves when all events recorded so far are written. */
  flush(): Promise<void> {
    return this.#last;
  }

  async #write(object: KubeObject, kind: string, type: EventType, reason: string, message: string): Promise<void> {
    const { name, namespace = 'default', uid = '', resourceVersion } = object.metadata;
    const key = [uid, reason, message].join('\n');
    const now = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    const known = this.#known.get(key);
    if (known !== undefined) {
      known.count += 1;
      const patched = await this.#client
        .patch(resourceType.event, known.name, namespace, { count: known.count, lastTimestamp: now })
        .then(() => true)
        .catch(() => false);
      if (patched) return;
    }
    const recorded: Recorded = {
      name: `${name}.${BigInt(Date.now()).toString(16)}${Math.floor(Math.random() * 2 ** 24).toString(16)}`,
      count: 1,
      firstTimestamp: now,
    };
    await this.#client.create(resourceType.event, {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: recorded.name, namespace },
      involvedObject: { apiVersion: dynamoApiVersion, kind, name, namespace, uid, ...(resourceVersion === undefined ? {} : { resourceVersion }) },
      type,
      reason,
      message,
      source: { component: 'dynamo-operator' },
      reportingComponent: 'dynamo-operator',
      firstTimestamp: recorded.firstTimestamp,
      lastTimestamp: now,
      count: 1,
    });
    if (this.#known.size >= mostRemembered) this.#known.delete(this.#known.keys().next().value!);
    this.#known.set(key, recorded);
  }
}
