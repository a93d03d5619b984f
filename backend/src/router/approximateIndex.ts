import type { TierOverlap } from './kvIndexer.ts';
import type { BlockHashes } from './routerKernels.ts';
import type { PrefixIndex } from './prefixIndex.ts';

export interface ApproximateIndexOptions {
  /** How long a routed prompt is believed to stay cached. Dynamo's `--router-ttl-secs`, 120 s. */
  ttlMs?: number;
  /** Above this many blocks the oldest are dropped … Dynamo's `--router-max-tree-size`, 2^20. */
  maxBlocks?: number;
  /** … until this share of `maxBlocks` is left. Dynamo's `--router-prune-target-ratio`, 0.8. */
  pruneTargetRatio?: number;
}

/**
 * What workers probably hold, told from the router's own decisions instead of events: a prompt sent to a worker will be
 * in its cache soon, and for a while. Needs no events, and is wrong as often as caches evict early.
 */
export class ApproximateIndex {
  readonly #index: PrefixIndex;
  readonly #ttlMs: number;
  readonly #maxBlocks: number;
  readonly #pruneTarget: number;
  /** Per slot: sequence hash → expiry. A block that is used again moves to the end, so the first ones expire first. */
  readonly #expiry = new Map<number, Map<bigint, number>>();
  #blocks = 0;

  constructor(index: PrefixIndex, { ttlMs = 120_000, maxBlocks = 1 << 20, pruneTargetRatio = 0.8 }: ApproximateIndexOptions = {}) {
    this.#index = index;
    this.#ttlMs = ttlMs;
    this.#maxBlocks = maxBlocks;
    this.#pruneTarget = Math.floor(maxBlocks * pruneTargetRatio);
  }

  get blocks(): number {
    return this.#blocks;
  }

  blocksOf(slot: number): number {
    return this.#expiry.get(slot)?.size ?? 0;
  }

  /** A prompt was sent to `slot`. */
  insert(slot: number, { local, sequence }: BlockHashes, now: number): void {
    this.expire(now);
    let expiry = this.#expiry.get(slot);
    if (!expiry) this.#expiry.set(slot, (expiry = new Map()));
    this.#index.store(slot, undefined, sequence, local);
    // Last block first: what expires later must not lose its prefix earlier.
    for (let i = sequence.length - 1; i >= 0; i--) {
      if (!expiry.delete(sequence[i]!)) this.#blocks++;
      expiry.set(sequence[i]!, now + this.#ttlMs);
    }
    if (this.#blocks > this.#maxBlocks) this.#prune();
  }

  findMatches(sequence: BigUint64Array, overlaps: Uint32Array, now: number): void {
    this.expire(now);
    this.#index.findMatches(sequence, overlaps);
  }

  /** What events told, or the guess where that is more. Changes `known`. */
  withPredictions(known: TierOverlap, sequence: BigUint64Array, now: number): TierOverlap {
    const predicted = new Uint32Array(known.device.length);
    this.findMatches(sequence, predicted, now);
    for (const [slot, blocks] of predicted.entries()) {
      if (blocks > known.device[slot]!) known.device[slot] = blocks;
      else predicted[slot] = 0;
    }
    return { ...known, predicted };
  }

  removeSlot(slot: number): void {
    this.#blocks -= this.blocksOf(slot);
    this.#expiry.delete(slot);
    this.#index.clear(slot);
  }

  expire(now: number): void {
    for (const [slot, expiry] of this.#expiry) {
      for (const [block, expiresAt] of expiry) {
        if (expiresAt > now) break;
        this.#drop(slot, expiry, block);
      }
    }
  }

  #prune(): void {
    const oldestFirst = [...this.#expiry].flatMap(([slot, expiry]) => Array.from(expiry, ([block, expiresAt]) => ({ slot, expiry, block, expiresAt })));
    oldestFirst.sort((a, b) => a.expiresAt - b.expiresAt);
    for (const { slot, expiry, block } of oldestFirst.slice(0, this.#blocks - this.#pruneTarget)) this.#drop(slot, expiry, block);
  }

  #drop(slot: number, expiry: Map<bigint, number>, block: bigint): void {
    expiry.delete(block);
    if (expiry.size === 0) this.#expiry.delete(slot);
    this.#blocks--;
    this.#index.remove(slot, [block]);
  }
}
