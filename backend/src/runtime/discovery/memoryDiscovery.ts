import { randomInstanceId } from '../instanceId.ts';
import type { Discovery, Instance, InstanceListener } from './discovery.ts';
import { Watchers } from './watchers.ts';

/** What several `MemoryDiscovery` of one process share: `DYN_DISCOVERY_BACKEND=mem`. */
export class MemoryStore {
  readonly instances = new Map<bigint, Instance>();
  readonly subscribers = new Set<() => void>();

  changed(): void {
    for (const subscriber of this.subscribers) subscriber();
  }
}

/** Discovery inside one process. */
export class MemoryDiscovery implements Discovery {
  readonly backend = 'mem';
  readonly instanceId = randomInstanceId();
  readonly #store: MemoryStore;
  readonly #watchers = new Watchers();
  readonly #refresh = (): void => this.#watchers.update(this.#store.instances.values());

  constructor(store: MemoryStore) {
    this.#store = store;
    store.subscribers.add(this.#refresh);
    this.#refresh();
  }

  async register(instance: Omit<Instance, 'instanceId' | 'pod'>): Promise<void> {
    this.#store.instances.set(this.instanceId, structuredClone({ ...instance, instanceId: this.instanceId }));
    this.#store.changed();
  }

  async withdraw(): Promise<void> {
    if (this.#store.instances.delete(this.instanceId)) this.#store.changed();
  }

  async watch(listener: InstanceListener, query: { namespace?: string } = {}): Promise<Disposable> {
    return this.#watchers.add(listener, query.namespace);
  }

  async close(): Promise<void> {
    await this.withdraw();
    this.#watchers.close();
    this.#store.subscribers.delete(this.#refresh);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
