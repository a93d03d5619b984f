import { addressPlan, podAddress } from './addressPlan.ts';
import { PodNetError } from './podNetError.ts';

/** Pod addresses in turn: a fresh pod does not get the address of one that has just gone. */
export class AddressPool {
  readonly #taken = new Set<string>();
  #cursor: number;

  /** @param cursor Number of the next address to try, as kept from an earlier run. */
  constructor(cursor: number) {
    this.#cursor = cursor;
  }

  get cursor(): number {
    return this.#cursor;
  }

  reserve(ip: string): void {
    this.#taken.add(ip);
  }

  take(): string {
    for (let tries = 0; tries < 65_536; tries++) {
      const ip = podAddress(this.#cursor);
      this.#cursor = ip === undefined ? 0 : this.#cursor + 1;
      if (ip === undefined || this.#taken.has(ip)) continue;
      this.#taken.add(ip);
      return ip;
    }
    throw new PodNetError('PODNET_ADDRESSES_EXHAUSTED', `every address of ${addressPlan.podPrefix}.0.0/16 is in use`);
  }

  release(ip: string): void {
    this.#taken.delete(ip);
  }
}
