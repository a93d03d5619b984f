import type { ServiceEntry, Target } from './serviceTable.ts';

interface Stickiness {
  target: string;
  /** Milliseconds on the clock given to `Balancer`. */
  usedAt: number;
}

const maxClients = 10_000;

/** Chooses an endpoint per connection: round robin per Service port, or the client's last one with ClientIP affinity. */
export class Balancer {
  readonly #next = new Map<string, number>();
  readonly #sticky = new Map<string, Map<string, Stickiness>>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** All endpoints in the order in which they are to be tried. */
  order(entry: ServiceEntry, client: string): Target[] {
    const { targets } = entry;
    if (targets.length === 0) return [];
    const sticky = this.#stickyTarget(entry, client);
    if (sticky !== undefined) return [sticky, ...targets.filter((target) => target !== sticky)];
    const start = (this.#next.get(entry.key) ?? 0) % targets.length;
    this.#next.set(entry.key, start + 1);
    return [...targets.slice(start), ...targets.slice(0, start)];
  }

  #stickyTarget(entry: ServiceEntry, client: string): Target | undefined {
    const known = this.#sticky.get(entry.key)?.get(client);
    if (entry.affinitySeconds === undefined || known === undefined) return undefined;
    if (this.#now() - known.usedAt > entry.affinitySeconds * 1000) return undefined;
    return entry.targets.find((target) => `${target.ip}:${target.port}` === known.target);
  }

  /** Remembers who serves a client. */
  connected(entry: ServiceEntry, client: string, target: Target): void {
    if (entry.affinitySeconds === undefined) return;
    const clients = this.#sticky.get(entry.key) ?? new Map<string, Stickiness>();
    this.#sticky.set(entry.key, clients);
    clients.delete(client);
    clients.set(client, { target: `${target.ip}:${target.port}`, usedAt: this.#now() });
    const oldest = clients.keys().next().value;
    if (clients.size > maxClients && oldest !== undefined) clients.delete(oldest);
  }

  /** Forgets Services that are gone. */
  retain(keys: ReadonlySet<string>): void {
    for (const map of [this.#next, this.#sticky]) for (const key of map.keys()) if (!keys.has(key)) map.delete(key);
  }
}
