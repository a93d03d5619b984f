import type { KvCacheEventData } from '../../protocol/index.ts';
import { BlockStates } from './blockStates.ts';
import type { SimulatedRequest } from './simulatedWorker.ts';
import type { TracePrompts } from './tracePrompts.ts';

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
  readonly #prompts: TracePrompts;
  readonly #states = new BlockStates();
  /** The hash of every block that was ever cached here, by number. */
  readonly #hashes: bigint[] = [];
  readonly #holdings = new Map<string, Holding>();
  #ownBlocks = 0;

  constructor(capacity: number, prompts: TracePrompts, publish: (event: KvCacheEventData) => void) {
    this.#capacity = capacity;
    this.#prompts = prompts;
    this.#publish = publish;
  }

  /** Blocks that running requests use. */
  get usedBlocks(): number {
    return this.#states.used + this.#ownBlocks;
  }

  /** Sets aside what a request needs; returns how many leading blocks are cached, or `undefined` when there is no room. */
  acquire(request: SimulatedRequest, blocks: number): number | undefined {
    const path = request.numbers;
    const states = this.#states;
    states.reserve(this.#prompts.count);
    let shared = 0;
    let revived = 0;
    for (; shared < path.length; shared++) {
      if (states.isUnused(path[shared]!)) revived++;
      else if (!states.isUsed(path[shared]!)) break;
    }
    const own = blocks - shared;
    const free = this.#capacity - this.usedBlocks - states.unused;
    if (own > free + states.unused - revived) return undefined;
    for (let i = 0; i < shared; i++) states.use(path[i]!);
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
    for (let i = from; i < Math.min(blocks, request.numbers.length); i++) {
      const block = request.numbers[i]!;
      if (!this.#states.isUsed(block) && !this.#states.isUnused(block)) {
        // A request that computes the same prompt at the same time may have stored a part already.
        if (stored.length === 0) first = i;
        const blockHash = request.sequence[i]!;
        this.#hashes[block] = blockHash;
        stored.push({ blockHash, tokensHash: request.local[i]! });
      }
      this.#states.use(block);
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
    for (let i = holding.shared - 1; i >= 0; i--) this.#states.disuse(holding.request.numbers[i]!);
  }

  #evict(count: number): void {
    const blockHashes: bigint[] = [];
    while (blockHashes.length < count && this.#states.unused > 0) blockHashes.push(this.#hashes[this.#states.evict()]!);
    if (blockHashes.length > 0) this.#publish({ type: 'removed', blockHashes });
  }
}
