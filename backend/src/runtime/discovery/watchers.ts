import type { Instance, InstanceListener } from './discovery.ts';

/** Turns successive pictures of all instances into `added` and `removed` calls for each listener. */
export class Watchers {
  readonly #watchers = new Set<{ listener: InstanceListener; namespace: string | undefined; known: Map<bigint, string> }>();
  #current = new Map<bigint, Instance>();

  get current(): ReadonlyMap<bigint, Instance> {
    return this.#current;
  }

  add(listener: InstanceListener, namespace: string | undefined): Disposable {
    const watcher = { listener, namespace, known: new Map<bigint, string>() };
    this.#watchers.add(watcher);
    this.#tell(watcher);
    return { [Symbol.dispose]: () => void this.#watchers.delete(watcher) };
  }

  update(instances: Iterable<Instance>): void {
    this.#current = new Map([...instances].map((instance) => [instance.instanceId, instance]));
    for (const watcher of this.#watchers) this.#tell(watcher);
  }

  close(): void {
    this.#watchers.clear();
  }

  #tell({ listener, namespace, known }: { listener: InstanceListener; namespace: string | undefined; known: Map<bigint, string> }): void {
    for (const id of [...known.keys()]) {
      const instance = this.#current.get(id);
      if (instance === undefined || (namespace !== undefined && instance.namespace !== namespace)) {
        known.delete(id);
        listener.removed(id);
      }
    }
    for (const [id, instance] of this.#current) {
      if (namespace !== undefined && instance.namespace !== namespace) continue;
      const print = JSON.stringify({ ...instance, instanceId: String(id) });
      if (known.get(id) === print) continue;
      known.set(id, print);
      listener.added(instance);
    }
  }
}
