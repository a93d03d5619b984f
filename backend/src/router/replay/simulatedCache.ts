import type { KvCacheEventData } from '../../protocol/index.ts';
import type { BlockNames } from './blockNames.ts';
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
  readonly #names: BlockNames;
  /** Block → requests that use it. */
  readonly #users = new Map<number, number>();
  /** Cached blocks that nobody uses, least recently used first. */
  readonly #unused = new Set<number>();
  readonly #holdings = new Map<string, Holding>();
  #ownBlocks = 0;

  constructor(capacity: number, names: BlockNames, publish: (event: KvCacheEventData) => void) {
    this.#capacity = capacity;
    this.#names = names;
    this.#publish = publish;
  }

  /** Blocks that running requests use. */
  get usedBlocks(): number {
    return this.#users.size + this.#ownBlocks;
  }

  /** Sets aside what a request needs; returns how many leading blocks are cached, or `undefined` when there is no room. */
  acquire(request: SimulatedRequest, blocks: number): number | undefined {
    const path = request.blocks;
    let shared = 0;
    let revived = 0;
    for (; shared < path.length; shared++) {
      if (this.#unused.has(path[shared]!)) revived++;
      else if (!this.#users.has(path[shared]!)) break;
    }
    const own = blocks - shared;
    const free = this.#capacity - this.usedBlocks - this.#unused.size;
    if (own > free + this.#unused.size - revived) return undefined;
    for (let i = 0; i < shared; i++) this.#use(path[i]!);
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
    let first = 0;
    for (let i = from; i < Math.min(blocks, request.blocks.length); i++) {
      const block = request.blocks[i]!;
      if (!this.#isCached(block)) {
        // A request that computes the same prompt at the same time may have stored a part already.
        if (stored.length === 0) first = i;
        stored.push({ blockHash: request.sequence[i]!, tokensHash: request.local[i]! });
      }
      this.#use(block);
      holding.shared++;
      holding.own--;
      this.#ownBlocks--;
    }
    if (stored.length > 0) this.#publish({ type: 'stored', ...(first > 0 ? { parentHash: request.sequence[first - 1]! } : {}), blocks: stored });
  }

  /** The request ended: its blocks stay cached until the room is needed. Last block first, so that leaves go before their prefix. */
  release(id: string): void {
    const holding = this.#holdings.get(id);
    if (!holding) return;
    this.#holdings.delete(id);
    this.#ownBlocks -= holding.own;
    for (let i = holding.shared - 1; i >= 0; i--) {
      const block = holding.request.blocks[i]!;
      const users = this.#users.get(block)! - 1;
      if (users > 0) this.#users.set(block, users);
      else {
        this.#users.delete(block);
        this.#unused.add(block);
      }
    }
  }

  #isCached(block: number): boolean {
    return this.#users.has(block) || this.#unused.has(block);
  }

  #use(block: number): void {
    this.#unused.delete(block);
    this.#users.set(block, (this.#users.get(block) ?? 0) + 1);
  }

  #evict(count: number): void {
    const evicted: number[] = [];
    for (const block of this.#unused) {
      if (evicted.length >= count) break;
      evicted.push(block);
    }
    for (const block of evicted) this.#unused.delete(block);
    if (evicted.length > 0) this.#publish({ type: 'removed', blockHashes: evicted.map((block) => this.#names.hashOf(block)) });
  }
}
