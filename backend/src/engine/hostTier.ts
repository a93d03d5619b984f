import { nativeAddon } from '@dynamo-labs/native';
import type { KvCacheEvent, KvCacheEventData } from '../protocol/index.ts';
import type { BlockIdentity } from './blockManager.ts';
import type { LlmEngineOptions } from './llmEngineApi.ts';

export interface HostTierOptions {
  /** Most blocks that it keeps. */
  blocks: number;
  blockBytes: number;
  /** Changes of what is kept here; the device's `removed` for the same blocks comes after. */
  onEvent?: (data: KvCacheEventData) => void;
}

/** Copies between the pool and the tier that the next step must find done; pairs of a pool block and a tier block. */
export interface BlockMoves {
  out: Int32Array;
  into: Int32Array;
}

export interface HostTierStats {
  totalBlocks: number;
  usedBlocks: number;
  offloadedBlocks: number;
  onboardedBlocks: number;
}

interface Kept {
  slot: number;
  identity: BlockIdentity;
  /** Its stored event is out. */
  announced: boolean;
}

/**
 * Host memory behind the KV pool (KVBM's G2). Blocks that the pool evicts are copied here, least recently used out, and come back by a copy when a prompt
 * begins like theirs. A block that came back stays here too, so that its next eviction costs nothing.
 */
export class HostTier {
  readonly memory: ArrayBuffer;
  readonly #options: HostTierOptions;
  /** In order of last use. */
  readonly #kept = new Map<bigint, Kept>();
  readonly #free: number[];
  /** Read by copies that are not made yet. */
  readonly #pinned = new Set<number>();
  #out: number[] = [];
  #into: number[] = [];
  #offloaded = 0;
  #onboarded = 0;

  constructor(options: HostTierOptions) {
    this.#options = options;
    this.memory = nativeAddon().allocatePages(options.blocks * options.blockBytes);
    this.#free = Array.from({ length: options.blocks }, (_, slot) => options.blocks - 1 - slot);
  }

  get stats(): HostTierStats {
    return { totalBlocks: this.#options.blocks, usedBlocks: this.#kept.size, offloadedBlocks: this.#offloaded, onboardedBlocks: this.#onboarded };
  }

  /** How many leading ones of these blocks are here. They stay until `takeMoves`. */
  match(identities: readonly BlockIdentity[]): number {
    let matched = 0;
    for (const identity of identities) {
      const kept = this.#kept.get(identity.sequenceHash);
      if (!kept || !sameTokens(kept.identity.tokens, identity.tokens)) break;
      this.#pinned.add(kept.slot);
      matched++;
    }
    return matched;
  }

  /** Copies matched blocks into `blocks` of the pool. */
  onboard(identities: readonly BlockIdentity[], blocks: readonly number[]): void {
    for (const [i, { sequenceHash }] of identities.entries()) this.#into.push(blocks[i]!, this.#kept.get(sequenceHash)!.slot);
    // The end of a prompt is older than its beginning: it goes first.
    for (const { sequenceHash } of identities.toReversed()) this.#touch(sequenceHash);
    this.#onboarded += identities.length;
  }

  /** The pool has evicted these blocks, children before parents; their bytes are still there. */
  offload(evicted: readonly { id: number; identity: BlockIdentity }[]): void {
    const removed: bigint[] = [];
    const stored: Kept[] = [];
    for (const { id, identity } of evicted) {
      if (this.#kept.has(identity.sequenceHash)) {
        this.#touch(identity.sequenceHash);
        continue;
      }
      const slot = this.#free.pop() ?? this.#evictOne(removed);
      if (slot === undefined) continue;
      const kept = { slot, identity, announced: false };
      this.#kept.set(identity.sequenceHash, kept);
      this.#out.push(id, slot);
      this.#offloaded++;
      stored.push(kept);
    }
    if (removed.length > 0) this.#options.onEvent?.({ type: 'removed', blockHashes: removed });
    this.#announce(stored.filter((kept) => this.#kept.get(kept.identity.sequenceHash) === kept).reverse());
  }

  /** What is to be copied before anything else is written to the pool; undefined for nothing. */
  takeMoves(): BlockMoves | undefined {
    this.#pinned.clear();
    if (this.#out.length + this.#into.length === 0) return undefined;
    const moves = { out: Int32Array.from(this.#out), into: Int32Array.from(this.#into) };
    this.#out = [];
    this.#into = [];
    return moves;
  }

  /** Forgets everything, without an event: the pool's `cleared` is about both. Between steps only. */
  clear(): void {
    for (const { slot } of this.#kept.values()) this.#free.push(slot);
    this.#kept.clear();
  }

  /** What is kept here as stored events with ids from `firstId`, parents before children; without what cannot be reached from `onDevice` blocks. */
  dump(firstId: number, onDevice: (hash: bigint) => boolean): KvCacheEvent[] {
    const events: KvCacheEvent[] = [];
    const dumped = new Set<bigint>();
    const visit = ({ identity: { sequenceHash, parentHash, localHash } }: Kept): boolean => {
      if (dumped.has(sequenceHash)) return true;
      if (parentHash !== undefined && !onDevice(parentHash)) {
        const parent = this.#kept.get(parentHash);
        if (!parent || !visit(parent)) return false;
      }
      dumped.add(sequenceHash);
      const data: KvCacheEventData = {
        type: 'stored',
        ...(parentHash === undefined ? {} : { parentHash }),
        blocks: [{ blockHash: sequenceHash, tokensHash: localHash }],
      };
      events.push({ eventId: firstId + events.length, dpRank: 0, data, storageTier: 'host_pinned' });
      return true;
    };
    for (const kept of this.#kept.values()) visit(kept);
    return events;
  }

  #touch(hash: bigint): void {
    const kept = this.#kept.get(hash)!;
    this.#kept.delete(hash);
    this.#kept.set(hash, kept);
  }

  #evictOne(removed: bigint[]): number | undefined {
    for (const [hash, { slot, announced }] of this.#kept) {
      if (this.#pinned.has(slot)) continue;
      this.#kept.delete(hash);
      if (announced) removed.push(hash);
      return slot;
    }
    return undefined;
  }

  /** Parents before children: one event for each run of them. */
  #announce(stored: readonly Kept[]): void {
    let run: { parentHash?: bigint; blocks: { blockHash: bigint; tokensHash: bigint }[] } | undefined;
    const flush = (): void => {
      if (run) this.#options.onEvent?.({ type: 'stored', ...run });
    };
    for (const kept of stored) {
      const { sequenceHash, localHash, parentHash } = kept.identity;
      if (run?.blocks.at(-1)?.blockHash !== parentHash || parentHash === undefined) {
        flush();
        run = { ...(parentHash === undefined ? {} : { parentHash }), blocks: [] };
      }
      run!.blocks.push({ blockHash: sequenceHash, tokensHash: localHash });
      kept.announced = true;
    }
    flush();
  }
}

/** The tier that an engine's options ask for, if any. */
export function hostTier(options: LlmEngineOptions, blockBytes: number, onEvent: (data: KvCacheEventData) => void): HostTier | undefined {
  const blocks = options.hostBlocks ?? Math.floor((options.hostBytes ?? 0) / blockBytes);
  return blocks > 0 && options.enablePrefixCaching ? new HostTier({ blocks, blockBytes, onEvent }) : undefined;
}

function sameTokens(a: Int32Array, b: Int32Array): boolean {
  return a.length === b.length && a.every((token, i) => token === b[i]);
}
