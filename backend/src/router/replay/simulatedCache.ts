import type { KvCacheEventData } from '../../protocol/index.ts';
import type { SimulatedRequest } from './simulatedWorker.ts';

interface Holding {
  request: SimulatedRequest;
  /** Leading blocks that are in the prefix cache and that this request uses. */
  shared: number;
  /** Blocks set aside for the rest of prompt and answer. */
  own: number;
}

/** A paged KV cache with a prefix cache: blocks in use are counted, others wait to be used again or evicted, oldest first. */
export class SimulatedCache {
  readonly #capacity: number;
  readonly #publish: (event: KvCacheEventData) => void;
  /** Sequence hash → requests that use the block. */
  readonly #users = new Map<bigint, number>();
  /** Cached blocks that nobody uses, least recently used first. */
  readonly #unused = new Set<bigint>();
  readonly #holdings = new Map<string, Holding>();
  #ownBlocks = 0;

  constructor(capacity: number, publish: (event: KvCacheEventData) => void) {
    this.#capacity = capacity;
    this.#publish = publish;
  }

  /** Blocks that running requests use. */
  get usedBlocks(): number {
    return this.#users.size + this.#ownBlocks;
  }

  /** Sets aside what a request needs; returns how many leading blocks are cached, or `undefined` when there is no room. */
  acquire(request: SimulatedRequest, blocks: number): number | undefined {
    let shared = 0;
    while (shared < request.sequence.length && this.#isCached(request.sequence[shared]!)) shared++;
    const revived = request.sequence.subarray(0, shared).reduce((count, block) => count + (this.#unused.has(block) ? 1 : 0), 0);
    const own = blocks - shared;
    const free = this.#capacity - this.usedBlocks - this.#unused.size;
    if (own > free + this.#unused.size - revived) return undefined;
    for (const block of request.sequence.subarray(0, shared)) this.#use(block);
    this.#evict(own - free);
    this.#ownBlocks += own;
    this.#holdings.set(request.id, { request, shared, own });
    return shared;
  }

  /** The first `blocks` blocks of the prompt are computed: they go into the prefix cache, and are published. */
  computed(id: string, blocks: number): void {
    const holding = this.#holdings.get(id);
    if (!holding || blocks <= holding.shared) return;
    const { request, shared: from } = holding;
    const stored = [];
    for (let i = from; i < Math.min(blocks, request.sequence.length); i++) {
      const block = request.sequence[i]!;
      if (!this.#isCached(block)) stored.push({ blockHash: block, tokensHash: request.local[i]! });
      this.#use(block);
      holding.shared++;
      holding.own--;
      this.#ownBlocks--;
    }
    // A request that computes the same prompt at the same time may have stored a part already, so the parent is that of the first new one.
    const first = stored[0] ? request.sequence.indexOf(stored[0].blockHash) : 0;
    if (stored.length > 0) this.#publish({ type: 'stored', ...(first > 0 ? { parentHash: request.sequence[first - 1]! } : {}), blocks: stored });
  }

  /** The request ended: its blocks stay cached until the room is needed. Last block first, so that leaves go before their prefix. */
  release(id: string): void {
    const holding = this.#holdings.get(id);
    if (!holding) return;
    this.#holdings.delete(id);
    this.#ownBlocks -= holding.own;
    for (let i = holding.shared - 1; i >= 0; i--) {
      const block = holding.request.sequence[i]!;
      const users = this.#users.get(block)! - 1;
      if (users > 0) this.#users.set(block, users);
      else {
        this.#users.delete(block);
        this.#unused.add(block);
      }
    }
  }

  #isCached(block: bigint): boolean {
    return this.#users.has(block) || this.#unused.has(block);
  }

  #use(block: bigint): void {
    this.#unused.delete(block);
    this.#users.set(block, (this.#users.get(block) ?? 0) + 1);
  }

  #evict(count: number): void {
    const evicted: bigint[] = [];
    for (const block of this.#unused) {
      if (evicted.length >= count) break;
      evicted.push(block);
    }
    for (const block of evicted) this.#unused.delete(block);
    if (evicted.length > 0) this.#publish({ type: 'removed', blockHashes: evicted });
  }
}
