import { randomInstanceId } from '../instanceId.ts';
import type { Discovery, Instance, InstanceListener } from './discovery.ts';
import { decodeInstances, encodeInstance, type InstanceRecord } from './instanceRecord.ts';
import { LeaseStore, type LeaseStoreOptions } from './leaseStore.ts';
import { Watchers } from './watchers.ts';

/** Dynamo's buckets in a key-value store. */
const buckets = { endpoints: 'v1/instances', model_cards: 'v1/mdc', event_channels: 'v1/event_channels' } as const;

export interface FileDiscoveryOptions extends LeaseStoreOptions {
  /** Entries that cannot be read. */
  onBadEntry?: (key: string, why: string) => void;
}

/** Discovery between processes of one machine by files with leases: `DYN_DISCOVERY_BACKEND=file`, root `DYN_FILE_KV`. */
export class FileDiscovery implements Discovery {
  readonly backend = 'file';
  readonly instanceId = randomInstanceId();
  readonly #store: LeaseStore;
  readonly #watchers = new Watchers();
  readonly #onBadEntry: ((key: string, why: string) => void) | undefined;
  #watches: Promise<Disposable[]> | undefined;
  #reading = false;
  #again = false;
  #closed = false;

  constructor(options: FileDiscoveryOptions) {
    this.#store = new LeaseStore(options);
    this.#onBadEntry = options.onBadEntry;
  }

  async register(instance: Omit<Instance, 'instanceId' | 'pod'>): Promise<void> {
    const record = encodeInstance({ ...instance, instanceId: this.instanceId });
    // An instance counts from its `generate` entry on, and must be complete by then: that one is written last.
    const entries = (['event_channels', 'model_cards', 'endpoints'] as const).flatMap((part) =>
      Object.entries(record[part]).map(([key, value]) => ({ bucket: buckets[part], key, value })),
    );
    entries.sort((a, b) => Number(isGenerate(a)) - Number(isGenerate(b)));
    for (const { bucket, key, value } of entries) await this.#store.put(bucket, key, value);
  }

  async withdraw(): Promise<void> {
    await this.#store.release();
  }

  async watch(listener: InstanceListener, query: { namespace?: string } = {}): Promise<Disposable> {
    this.#watches ??= Promise.all(Object.values(buckets).map((bucket) => this.#store.watch(bucket, () => void this.#read())));
    await this.#watches;
    await this.#read();
    return this.#watchers.add(listener, query.namespace);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#watchers.close();
    for (const watch of (await this.#watches) ?? []) watch[Symbol.dispose]();
    this.#watches = undefined;
    await this.withdraw();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #read(): Promise<void> {
    this.#again = true;
    if (this.#reading) return;
    this.#reading = true;
    try {
      while (this.#again && !this.#closed) {
        this.#again = false;
        const [endpoints, model_cards, event_channels] = await Promise.all(
          (['endpoints', 'model_cards', 'event_channels'] as const).map(async (part) => Object.fromEntries(await this.#store.list(buckets[part]))),
        );
        const record: Partial<InstanceRecord> = {
          ...(endpoints && { endpoints }),
          ...(model_cards && { model_cards }),
          ...(event_channels && { event_channels }),
        };
        if (!this.#closed) this.#watchers.update(decodeInstances(record, this.#onBadEntry).filter(isComplete));
      }
    } finally {
      this.#reading = false;
    }
  }
}

/** A worker counts from its `generate` entry on; a frontend has only event channels. */
function isComplete({ component, endpoints }: Instance): boolean {
  return endpoints['generate'] !== undefined || component === 'frontend';
}

function isGenerate({ bucket, key }: { bucket: string; key: string }): boolean {
  return bucket === buckets.endpoints && key.split('/')[2] === 'generate';
}
