import { serviceOf, type EndpointSlice, type Service } from './serviceObjects.ts';
import type { ServiceSource } from './serviceWatch.ts';

/** A `ServiceSource` that is set by hand: for tests and for a network without a cluster. */
export class StaticServices implements ServiceSource {
  #services: readonly Service[] = [];
  #slices: readonly EndpointSlice[] = [];
  readonly #listeners = new Set<() => void>();

  set(services: readonly Service[], slices: readonly EndpointSlice[]): void {
    this.#services = services;
    this.#slices = slices;
    for (const listener of this.#listeners) listener();
  }

  services(): Service[] {
    return [...this.#services];
  }

  slicesByService(): Map<string, EndpointSlice[]> {
    return Map.groupBy(this.#slices, (slice) => serviceOf(slice) ?? '');
  }

  onChange(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }
}
