import { nativeAddon } from '@dynamo-labs/native';
import { BLOCK_HASH_SEED, localBlockHashes, sequenceHashes } from '../protocol/blockHash.ts';
import type { KvCacheEvent, KvCacheEventData, StorageTier } from '../protocol/index.ts';

/** A page of the KV pool. */
interface Block {
  readonly id: number;
  /** Sequences whose block table holds it. */
  references: number;
  /** Set while the block is in the prefix cache. */
  cached?: CachedContent;
}

interface CachedContent {
  /** Commits to every token up to the end of this block. */
  sequenceHash: bigint;
  localHash: bigint;
  parentHash?: bigint;
  tokens: Int32Array;
  /** Cached blocks whose parent this is: a block with children is not evicted. */
  children: number;
}

/** A full block as the cache and the router name it. */
export interface BlockIdentity {
  sequenceHash: bigint;
  localHash: bigint;
  parentHash?: bigint;
  tokens: Int32Array;
}

interface BlockHashes {
  local: BigUint64Array;
  sequence: BigUint64Array;
}

export interface BlockManagerOptions {
  blocks: number;
  /** Tokens per block. */
  blockTokens: number;
  enablePrefixCaching: boolean;
  onEvent?: (event: KvCacheEvent) => void;
  /** These blocks are about to be written. */
  onAllocate?: (ids: readonly number[]) => void;
  /** These leave the cache, children before parents, and are about to be written; their `removed` event follows. */
  onEvict?: (evicted: readonly EvictedBlock[]) => void;
}

export interface EvictedBlock {
  id: number;
  identity: BlockIdentity;
}

/**
 * Owns the pool's pages: who holds which, which full ones are kept for reuse, and which of those goes first when space is needed.
 *
 * A cached block is found by its sequence hash and verified by its tokens. Blocks that no sequence holds stay cached in order of last use; the least
 * recently used *leaf* is evicted, so that a cached block's parents are always cached too. Every change of the cache is an event with the next id.
 */
export class BlockManager {
  readonly blockTokens: number;
  readonly #enablePrefixCaching: boolean;
  readonly #onEvent: (event: KvCacheEvent) => void;
  readonly #onAllocate: (ids: readonly number[]) => void;
  readonly #onEvict: (evicted: readonly EvictedBlock[]) => void;
  readonly #blocks: Block[];
  readonly #free: number[];
  readonly #cache = new Map<bigint, Block>();
  /** Cached and held by no sequence, least recently used first. */
  readonly #idle = new Set<Block>();
  #nextEventId = 0;

  constructor(options: BlockManagerOptions) {
    if (!Number.isSafeInteger(options.blocks) || options.blocks < 1)
      throw new RangeError(`Expected \`blocks\` to be a positive integer, got ${options.blocks}`);
    this.blockTokens = options.blockTokens;
    this.#enablePrefixCaching = options.enablePrefixCaching;
    this.#onEvent = options.onEvent ?? (() => {});
    this.#onAllocate = options.onAllocate ?? (() => {});
    this.#onEvict = options.onEvict ?? (() => {});
    this.#blocks = Array.from({ length: options.blocks }, (_, id) => ({ id, references: 0 }));
    this.#free = this.#blocks.map((block) => block.id).reverse();
  }

  get totalBlocks(): number {
    return this.#blocks.length;
  }
  /** Held by sequences. */
  get usedBlocks(): number {
    return this.#blocks.length - this.availableBlocks;
  }
  /** In the prefix cache, held by sequences or not. */
  get cachedBlocks(): number {
    return this.#cache.size;
  }
  /** Free or evictable: what `allocate` can still give. */
  get availableBlocks(): number {
    return this.#free.length + this.#idle.size;
  }
  /** Id of the last event; -1 before the first. */
  get lastEventId(): number {
    return this.#nextEventId - 1;
  }

  /** Identities of `tokens`' full blocks after `parent`. */
  identify(tokens: Int32Array, parent?: BlockIdentity): BlockIdentity[] {
    const { local, sequence } = parent === undefined ? this.#hashPrompt(tokens) : this.#hashAfter(tokens, parent);
    const identities: BlockIdentity[] = [];
    let previous = parent?.sequenceHash;
    for (const [i, localHash] of local.entries()) {
      identities.push({
        sequenceHash: sequence[i]!,
        localHash,
        ...(previous === undefined ? {} : { parentHash: previous }),
        tokens: tokens.slice(i * this.blockTokens, (i + 1) * this.blockTokens),
      });
      previous = sequence[i]!;
    }
    return identities;
  }

  /** How many leading blocks of `identities` are cached. */
  match(identities: readonly BlockIdentity[]): number {
    let matched = 0;
    while (matched < identities.length && this.#find(identities[matched]!)) matched++;
    return matched;
  }

  isCached(sequenceHash: bigint): boolean {
    return this.#cache.has(sequenceHash);
  }

  /** Takes the cached blocks for a sequence; they must have been matched in the same turn. */
  acquire(identities: readonly BlockIdentity[]): number[] {
    return identities.map((identity) => {
      const block = this.#find(identity);
      if (!block) throw new Error(`block ${identity.sequenceHash} is not cached`);
      this.#idle.delete(block);
      block.references++;
      return block.id;
    });
  }

  /** Takes `count` blocks for writing, evicting idle ones where needed; `undefined`, and nothing taken, when there are not enough. */
  allocate(count: number): number[] | undefined {
    if (count > this.availableBlocks) return undefined;
    const evicted: EvictedBlock[] = [];
    const ids: number[] = [];
    for (let i = 0; i < count; i++) {
      const id = this.#free.pop() ?? this.#evictOne(evicted);
      this.#blocks[id]!.references = 1;
      ids.push(id);
    }
    if (evicted.length > 0) {
      this.#onEvict(evicted);
      this.emit({ type: 'removed', blockHashes: evicted.map(({ identity }) => identity.sequenceHash) });
    }
    if (ids.length > 0) this.#onAllocate(ids);
    return ids;
  }

  /**
   * Puts a sequence's computed full blocks, `table[first…]`, into the cache under their identities. Where the same content is cached already the
   * sequence takes that block instead of its own (their bytes are equal, since the engine is batch-invariant): `table` is changed in place.
   * A block whose parent is not the sequence's own cached block, after a `clear`, stays private.
   */
  store(table: number[], first: number, identities: readonly BlockIdentity[]): void {
    if (!this.#enablePrefixCaching) return;
    let run: { parentHash?: bigint; blocks: { blockHash: bigint; tokensHash: bigint }[] } | undefined;
    const flush = (): void => {
      if (run) this.emit({ type: 'stored', ...run });
      run = undefined;
    };
    for (const [i, identity] of identities.entries()) {
      const at = first + i;
      const parent = at === 0 ? undefined : this.#blocks[table[at - 1]!]!.cached;
      const reachable = at === 0 || parent?.sequenceHash === identity.parentHash;
      const twin = this.#find(identity);
      if (reachable && twin) {
        this.release([table[at]!]);
        table[at] = this.acquire([identity])[0]!;
      }
      if (!reachable || this.#cache.has(identity.sequenceHash)) {
        flush();
        continue;
      }
      const block = this.#blocks[table[at]!]!;
      block.cached = { ...identity, children: 0 };
      this.#cache.set(identity.sequenceHash, block);
      if (parent) parent.children++;
      run ??= { ...(identity.parentHash === undefined ? {} : { parentHash: identity.parentHash }), blocks: [] };
      run.blocks.push({ blockHash: identity.sequenceHash, tokensHash: identity.localHash });
    }
    flush();
  }

  /** One more holder of blocks that somebody has. */
  retain(ids: readonly number[]): void {
    for (const id of ids) {
      const block = this.#blocks[id]!;
      if (block.references < 1) throw new Error(`block ${id} is retained by nobody`);
      block.references++;
    }
  }

  /** Gives a sequence's blocks back, the last first, so that the end of a prompt is evicted before its beginning. */
  release(ids: readonly number[]): void {
    for (const id of ids.toReversed()) {
      const block = this.#blocks[id]!;
      if (block.references < 1) throw new Error(`block ${id} was released more often than taken`);
      if (--block.references > 0) continue;
      if (block.cached) this.#idle.add(block);
      else this.#free.push(id);
    }
  }

  /** Forgets every cached block; those that sequences hold become private to them. Returns how many were cached. */
  clear(): number {
    const count = this.#cache.size;
    for (const block of this.#cache.values()) {
      delete block.cached;
      if (block.references === 0) this.#free.push(block.id);
    }
    this.#cache.clear();
    this.#idle.clear();
    if (this.#enablePrefixCaching) this.emit({ type: 'cleared' });
    return count;
  }

  /** The whole cache as stored events, parents before children, one per block; ids count from 0 and are not part of the stream. */
  dump(): KvCacheEvent[] {
    const events: KvCacheEvent[] = [];
    const dumped = new Set<bigint>();
    const visit = (block: Block): void => {
      const pending: Block[] = [];
      for (let at: Block | undefined = block; at && !dumped.has(at.cached!.sequenceHash);) {
        pending.push(at);
        dumped.add(at.cached!.sequenceHash);
        at = at.cached!.parentHash === undefined ? undefined : this.#cache.get(at.cached!.parentHash);
      }
      for (const { cached } of pending.reverse()) {
        const { parentHash, sequenceHash: blockHash, localHash: tokensHash } = cached!;
        const data: KvCacheEventData = { type: 'stored', ...(parentHash === undefined ? {} : { parentHash }), blocks: [{ blockHash, tokensHash }] };
        events.push({ eventId: events.length, dpRank: 0, data });
      }
    };
    for (const block of this.#cache.values()) visit(block);
    return events;
  }

  /** A whole prompt: natively, since thousands of tokens hashed here would hold up the worker's event loop. */
  #hashPrompt(tokens: Int32Array): BlockHashes {
    const blocks = Math.floor(tokens.length / this.blockTokens);
    const hashes = { local: new BigUint64Array(blocks), sequence: new BigUint64Array(blocks) };
    const unsigned = new Uint32Array(tokens.buffer, tokens.byteOffset, tokens.length);
    nativeAddon().hashBlocks(unsigned, this.blockTokens, BLOCK_HASH_SEED, hashes.local, hashes.sequence);
    return hashes;
  }

  /** The block or two that an answer has just filled. */
  #hashAfter(tokens: Int32Array, parent: BlockIdentity): BlockHashes {
    const local = localBlockHashes(tokens, this.blockTokens);
    return { local, sequence: sequenceHashes(local, parent.sequenceHash) };
  }

  /** The hash leads to the block, its tokens prove it; the chain before it was proved by the blocks before it. */
  #find(identity: BlockIdentity): Block | undefined {
    const block = this.#cache.get(identity.sequenceHash);
    return block && sameTokens(block.cached!.tokens, identity.tokens) ? block : undefined;
  }

  #evictOne(evicted: EvictedBlock[]): number {
    for (const block of this.#idle) {
      const { children, ...identity } = block.cached!;
      if (children > 0) continue;
      const { sequenceHash: hash, parentHash } = identity;
      this.#idle.delete(block);
      this.#cache.delete(hash);
      delete block.cached;
      if (parentHash !== undefined) this.#cache.get(parentHash)!.cached!.children--;
      evicted.push({ id: block.id, identity });
      return block.id;
    }
    throw new Error('every idle block has children');
  }

  /** The next event, of this cache or, with a tier, of one behind it: all have one sequence of ids. */
  emit(data: KvCacheEventData, storageTier?: StorageTier): void {
    this.#onEvent({ eventId: this.#nextEventId++, dpRank: 0, data, ...(storageTier && { storageTier }) });
  }
}

function sameTokens(a: Int32Array, b: Int32Array): boolean {
  return a.length === b.length && a.every((token, i) => token === b[i]);
}
