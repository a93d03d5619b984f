import { Reflector, type KubeClient } from '../../../kube/index.ts';
import { endpointSlicesType, serviceOf, servicesType, type EndpointSlice, type Service } from './serviceObjects.ts';

/** Where proxy and DNS read Services from. */
export interface ServiceSource {
  services(): Service[];
  /** Slices with IPv4 addresses, by `namespace/name` of their Service. */
  slicesByService(): Map<string, EndpointSlice[]>;
  /** Called once after any number of changes that arrive together. */
  onChange(listener: () => void): Disposable;
}

/** One live copy of every Service and its EndpointSlices in the cluster. */
export class ServiceWatch implements ServiceSource, AsyncDisposable {
  readonly #services: Reflector<Service>;
  readonly #slices: Reflector<EndpointSlice>;
  readonly #listeners = new Set<() => void>();
  #notifying = false;

  constructor(options: { client: KubeClient; onError?: (error: unknown) => void }) {
    const common = { client: options.client, onChange: () => this.#notify(), ...(options.onError && { onError: options.onError }) };
    this.#services = new Reflector<Service>({ ...common, type: servicesType });
    this.#slices = new Reflector<EndpointSlice>({ ...common, type: endpointSlicesType });
  }

  /** Resolves when both collections are here; a later loss of the API server leaves the last known state in place. */
  async start(): Promise<this> {
    await Promise.all([this.#services.start().synced, this.#slices.start().synced]);
    return this;
  }

  services(): Service[] {
    return [...this.#services.store.values()];
  }

  slicesByService(): Map<string, EndpointSlice[]> {
    const grouped = new Map<string, EndpointSlice[]>();
    for (const slice of this.#slices.store.values()) {
      const service = serviceOf(slice);
      if (service === undefined || slice.addressType !== 'IPv4') continue;
      const list = grouped.get(service);
      if (list === undefined) grouped.set(service, [slice]);
      else list.push(slice);
    }
    return grouped;
  }

  onChange(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  #notify(): void {
    if (this.#notifying) return;
    this.#notifying = true;
    setImmediate(() => {
      this.#notifying = false;
      for (const listener of this.#listeners) listener();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listeners.clear();
    await Promise.all([this.#services.stop(), this.#slices.stop()]);
  }
}
