import { setTimeout as sleep } from 'node:timers/promises';
import type { KubeClient } from './kubeClient.ts';
import { KubeError } from './kubeError.ts';
import { collectionPath, type KubeList, type KubeObject, type ResourceType } from './kubeObject.ts';

export interface ReflectorOptions<T extends KubeObject> {
  client: KubeClient;
  type: ResourceType;
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  /** Called for each change, after the store was updated; `current` is undefined when the object is gone. */
  onChange?: (key: string, current: T | undefined, previous: T | undefined) => void;
  /** Called once per failed list or watch, before the back-off. The reflector goes on by itself. */
  onError?: (error: unknown) => void;
}

interface WatchEvent<T> {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  object: T & { code?: number; message?: string; reason?: string };
}

/** `namespace/name`, or `name` for cluster-scoped objects. */
export function keyOf(object: KubeObject): string {
  const { namespace, name } = object.metadata;
  return namespace === undefined ? name : `${namespace}/${name}`;
}

/**
 * A local copy of one collection, kept current by list + watch (client-go's Reflector): bookmarks, relist on 410 Gone,
 * jittered back-off, and a server-side watch timeout so that a dead connection is noticed.
 */
export class Reflector<T extends KubeObject> {
  readonly store = new Map<string, T>();
  readonly #options: ReflectorOptions<T>;
  readonly #abort = new AbortController();
  readonly #synced = Promise.withResolvers<void>();
  #running: Promise<void> | undefined;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#synced.promise.catch(() => {});
  }

  start(): this {
    this.#running ??= this.#run();
    return this;
  }

  /** Resolves when the first list is in the store; rejects when the reflector is stopped before. */
  get synced(): Promise<void> {
    return this.#synced.promise;
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error('reflector stopped'));
    this.#synced.reject(new Error('reflector stopped before its first list'));
    await this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    let backOffMs = 100;
    let resourceVersion: string | undefined;
    while (!signal.aborted) {
      try {
        resourceVersion ??= await this.#list();
        backOffMs = 100;
        resourceVersion = await this.#watch(resourceVersion);
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof KubeError && error.status === 410) resourceVersion = undefined;
        else {
          resourceVersion = undefined;
          this.#options.onError?.(error);
          await sleep(backOffMs * (0.5 + Math.random()), undefined, { signal }).catch(() => {});
          backOffMs = Math.min(backOffMs * 2, 5_000);
        }
      }
    }
  }

  get #query(): Record<string, string | undefined> {
    return { labelSelector: this.#options.labelSelector, fieldSelector: this.#options.fieldSelector };
  }

  async #list(): Promise<string> {
    const { client, type, namespace } = this.#options;
    const list = await client.json<KubeList<T>>({ path: collectionPath(type, namespace), query: this.#query, signal: this.#abort.signal });
    const fresh = new Map(list.items.map((item) => [keyOf(item), item]));
    for (const key of [...this.store.keys()]) if (!fresh.has(key)) this.#set(key, undefined);
    for (const [key, item] of fresh) {
      if (this.store.get(key)?.metadata.resourceVersion !== item.metadata.resourceVersion) this.#set(key, item);
    }
    this.#synced.resolve();
    return list.metadata.resourceVersion;
  }

  async #watch(from: string): Promise<string> {
    const { client, type, namespace } = this.#options;
    let resourceVersion = from;
    const timeoutSeconds = 240 + Math.floor(Math.random() * 60);
    const response = await client.stream({
      path: collectionPath(type, namespace),
      query: { ...this.#query, watch: true, allowWatchBookmarks: true, resourceVersion, timeoutSeconds },
      signal: this.#abort.signal,
      // The server sends a bookmark about once a minute; five silent minutes mean a dead connection.
      timeoutMs: (timeoutSeconds + 15) * 1000,
    });
    let rest = '';
    response.setEncoding('utf8');
    for await (const chunk of response) {
      const lines = (rest + (chunk as string)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line === '') continue;
        const event = JSON.parse(line) as WatchEvent<T>;
        if (event.type === 'ERROR') throw new KubeError(event.object.message ?? 'watch failed', event.object.code ?? 0, event.object.reason ?? '');
        resourceVersion = event.object.metadata.resourceVersion ?? resourceVersion;
        if (event.type === 'DELETED') this.#set(keyOf(event.object), undefined);
        else if (event.type !== 'BOOKMARK') this.#set(keyOf(event.object), event.object);
      }
    }
    return resourceVersion;
  }

  #set(key: string, current: T | undefined): void {
    const previous = this.store.get(key);
    if (current === undefined) this.store.delete(key);
    else this.store.set(key, current);
    this.#options.onChange?.(key, current, previous);
  }
}
