import { keyOf, KubeError, Reflector } from '../../kube/index.ts';
import { podsType, type NodeContext } from './nodeContext.ts';
import type { Pod } from './pod.ts';
import { removeRecord, type PodRecord } from './podRecord.ts';
import { PodWorker } from './podWorker.ts';

const volumeRefreshMs = 30_000;

/** The pods of one virtual node: follows the API server's assignment and keeps one worker per pod (by uid). */
export class PodManager {
  readonly context: NodeContext;
  readonly #workers = new Map<string, PodWorker>();
  readonly #reflector: Reflector<Pod>;
  readonly #records: Map<string, PodRecord>;
  readonly #refresh: NodeJS.Timeout;
  #stopping = false;

  /** `records`: what an earlier agent left of this node's pods. */
  constructor(context: NodeContext, records: PodRecord[]) {
    this.context = context;
    this.#records = new Map(records.map((record) => [record.pod.metadata.uid ?? '', record]));
    this.#reflector = new Reflector<Pod>({
      client: context.client,
      type: podsType,
      fieldSelector: `spec.nodeName=${context.nodeName}`,
      onChange: (_key, current, previous) => this.#onChange(current, previous),
      onError: (error) => context.log.warn(`pods of ${context.nodeName}`, error),
    });
    this.#refresh = setInterval(() => this.#refreshVolumes(), volumeRefreshMs);
    this.#refresh.unref();
  }

  /** Resolves when every pod of the first list has its worker; what is left of pods that are gone is removed then. */
  async start(): Promise<void> {
    this.#reflector.start();
    await this.#reflector.synced;
    for (const uid of this.#records.keys()) if (!this.#workers.has(uid)) await removeRecord(this.context.podsDir, uid);
  }

  get workers(): Iterable<PodWorker> {
    return this.#workers.values();
  }

  /** The worker of a pod by name, as the kubelet's endpoints address it. */
  find(namespace: string, name: string, uid?: string): PodWorker | undefined {
    const pod = this.#reflector.store.get(keyOf({ metadata: { namespace, name } }));
    const worker = pod === undefined ? undefined : this.#workers.get(pod.metadata.uid ?? '');
    return uid === undefined || worker?.uid === uid ? worker : undefined;
  }

  #onChange(current: Pod | undefined, previous: Pod | undefined): void {
    if (this.#stopping) return;
    if (previous !== undefined && previous.metadata.uid !== current?.metadata.uid) this.#workers.get(previous.metadata.uid ?? '')?.vanish();
    if (current === undefined) return;
    const uid = current.metadata.uid ?? '';
    const worker = this.#workers.get(uid);
    if (worker !== undefined) {
      worker.update(current);
      return;
    }
    const record = this.#records.get(uid);
    const finished = current.status?.phase === 'Succeeded' || current.status?.phase === 'Failed';
    if (finished && record === undefined) this.#deleteFinished(current);
    else this.#add(current, record);
  }

  #add(pod: Pod, record: PodRecord | undefined): void {
    const worker = new PodWorker(this.context, pod, record);
    this.#workers.set(worker.uid, worker);
    void worker.removed.then(() => this.#workers.delete(worker.uid));
  }

  /** A finished pod of which this node knows nothing any more: there is nothing to run, only a deletion to confirm. */
  #deleteFinished(pod: Pod): void {
    if (pod.metadata.deletionTimestamp === undefined) return;
    const { name, namespace, uid } = pod.metadata;
    this.context.client.delete(podsType, name, namespace, { gracePeriodSeconds: 0, preconditions: { uid } }).catch((error: unknown) => {
      if (!(error instanceof KubeError && error.status === 409)) this.context.log.warn(`pod ${namespace}/${name} not removed`, error);
    });
  }

  #refreshVolumes(): void {
    for (const worker of this.#workers.values()) void worker.refreshVolumes();
  }

  /** Ends every pod of the node; their API objects stay. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#refresh);
    await this.#reflector.stop();
    await Promise.all([...this.#workers.values()].map((worker) => worker.stop()));
  }
}
