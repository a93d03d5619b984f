import type { BlockIdentity, BlockManager } from './blockManager.ts';
import type { HostTier } from './hostTier.ts';
import type { Sequence } from './sequence.ts';

export interface SchedulerOptions {
  /** Sequences in one step. */
  maxNumSeqs: number;
  /** Tokens in one step, prefill and decode together. */
  maxNumBatchedTokens: number;
  /** The sequence has blocks for its whole prompt, the first `cachedBlocks` of them filled: read the others up to its `remoteTokens`. */
  onLoad?: (sequence: Sequence, cachedBlocks: number) => void;
  /** Where evicted blocks went. */
  hostTier?: HostTier | undefined;
}

/** Part of a step: `count` tokens of `sequence` from its first uncomputed one. */
export interface ScheduledSlice {
  sequence: Sequence;
  count: number;
}

/**
 * Continuous batching with chunked prefill. Each step takes, while tokens and blocks last: one token of every decoding sequence, then chunks of prompts
 * already begun, then prompts whose KV was read from another worker, then new prompts in order of arrival. A new prompt whose KV another worker has gets
 * all its blocks at once and waits outside the batch until they are read. When a running sequence cannot get a block, the one that came last is preempted:
 * it gives its blocks back and starts over from what is still cached of them.
 */
export class Scheduler {
  readonly waiting: Sequence[] = [];
  readonly running: Sequence[] = [];
  /** Their blocks are being read. */
  readonly loading = new Set<Sequence>();
  /** Their blocks have been read; they wait for a place in a step. */
  readonly loaded: Sequence[] = [];
  preemptions = 0;
  readonly #blocks: BlockManager;
  readonly #options: SchedulerOptions;

  constructor(blocks: BlockManager, options: SchedulerOptions) {
    this.#blocks = blocks;
    this.#options = options;
  }

  add(sequence: Sequence): void {
    this.waiting.push(sequence);
  }

  get idle(): boolean {
    return this.waiting.length + this.running.length + this.loading.size + this.loaded.length === 0;
  }

  schedule(): ScheduledSlice[] {
    const slices: ScheduledSlice[] = [];
    let budget = this.#options.maxNumBatchedTokens;
    const take = (sequence: Sequence): boolean => {
      const count = Math.min(sequence.pendingTokens, budget);
      if (count < 1 || !this.#reserve(sequence, count)) return false;
      slices.push({ sequence, count });
      budget -= count;
      return true;
    };
    const preemptionsBefore = this.preemptions;

    // decode
    for (const sequence of [...this.running]) {
      if (sequence.pendingTokens === 1) this.#takeOrPreempt(sequence, take, slices);
    }
    // prefill of prompts already begun
    for (const sequence of [...this.running]) {
      if (sequence.pendingTokens > 1 && budget > 0) this.#takeOrPreempt(sequence, take, slices);
    }
    while (this.loaded.length > 0 && this.running.length < this.#options.maxNumSeqs && budget > 0) this.#run(this.loaded, take);
    // new prompts; not in the step that preempted, which would take the blocks back
    while (this.waiting.length > 0 && this.running.length < this.#options.maxNumSeqs && budget > 0 && this.preemptions === preemptionsBefore) {
      const [next] = this.waiting as [Sequence];
      if (!(next.remoteTokens === undefined ? this.#run(this.waiting, take) : this.#beginLoad(next) && this.waiting.shift())) break;
    }
    return slices;
  }

  /** Reads the beginning of a prompt for the prefix cache alone. False where that would be at others' cost: nobody may wait, or wait longer, for it. */
  beginFetch(sequence: Sequence): boolean {
    const blocks = Math.ceil(sequence.length / this.#blocks.blockTokens);
    if (this.waiting.length > 0 || this.#blocks.availableBlocks - blocks < this.running.length) return false;
    return this.#beginLoad(sequence);
  }

  /** Its blocks were filled up to `remoteTokens`, or, `false`, they were not and it is an ordinary prompt. */
  loadSettled(sequence: Sequence, loaded: boolean): void {
    this.loading.delete(sequence);
    if (loaded) {
      sequence.transferredTokens = Math.max(0, (sequence.remoteTokens ?? 0) - sequence.computedTokens);
      sequence.firstCachedTokens = sequence.computedTokens;
      sequence.computedTokens += sequence.transferredTokens;
      sequence.state = 'remote_kvs_loaded';
      this.loaded.push(sequence);
    } else {
      this.#giveBack(sequence);
      sequence.state = 'waiting';
      this.waiting.unshift(sequence);
    }
    sequence.remoteTokens = undefined;
  }

  /** Takes a sequence out, wherever it is, and gives its blocks back; not while they are being read. */
  finish(sequence: Sequence): void {
    this.loading.delete(sequence);
    for (const list of [this.waiting, this.running, this.loaded]) {
      const at = list.indexOf(sequence);
      if (at >= 0) list.splice(at, 1);
    }
    sequence.state = 'finished';
    this.#giveBack(sequence);
  }

  /** Moves the first of a queue into the batch; false where there is no room for it. */
  #run(queue: Sequence[], take: (sequence: Sequence) => boolean): boolean {
    const sequence = queue[0]!;
    if (queue === this.waiting && !this.#admit(sequence)) return false;
    if (!take(sequence)) {
      if (queue === this.waiting) this.#giveBack(sequence);
      return false;
    }
    queue.shift();
    sequence.state = 'running';
    this.running.push(sequence);
    return true;
  }

  /** Blocks for the whole prompt at once, its last token's too: who has been read can always be computed. */
  #beginLoad(sequence: Sequence): boolean {
    // More would only hold blocks that running sequences need.
    if (this.loading.size + this.loaded.length >= this.#options.maxNumSeqs || !this.#admit(sequence)) return false;
    this.#reserve(sequence, sequence.pendingTokens);
    sequence.state = 'waiting_for_remote_kvs';
    this.loading.add(sequence);
    this.#options.onLoad?.(sequence, sequence.storedBlocks);
    return true;
  }

  #takeOrPreempt(sequence: Sequence, take: (sequence: Sequence) => boolean, slices: ScheduledSlice[]): void {
    while (sequence.state === 'running' && !take(sequence)) {
      const victim = this.running.at(-1)!;
      this.#preempt(victim);
      const scheduled = slices.findIndex((slice) => slice.sequence === victim);
      if (scheduled >= 0) slices.splice(scheduled, 1);
    }
  }

  #preempt(sequence: Sequence): void {
    this.preemptions++;
    this.running.splice(this.running.indexOf(sequence), 1);
    this.#giveBack(sequence);
    sequence.state = 'waiting';
    this.waiting.unshift(sequence);
  }

  /**
   * Starts from the cached blocks of the prompt, of the pool and then of the host tier. The last token is always computed: its logits are needed.
   * Takes nothing where the pool has no room for the rest: beginning that only makes others give up what they have (vLLM's scheduler_reserve_full_isl).
   */
  #admit(sequence: Sequence): boolean {
    const { blockTokens } = this.#blocks;
    const usable = sequence.identities.slice(0, Math.floor((sequence.length - 1) / blockTokens));
    const matched = usable.slice(0, this.#blocks.match(usable));
    sequence.blockTable = this.#blocks.acquire(matched);
    if (Math.ceil(sequence.length / blockTokens) - matched.length > this.#blocks.availableBlocks) {
      this.#giveBack(sequence);
      return false;
    }
    const onHost = this.#onboard(sequence, usable.slice(matched.length));
    sequence.storedBlocks = matched.length + onHost;
    sequence.hostTokens = onHost * blockTokens;
    sequence.computedTokens = sequence.storedBlocks * blockTokens;
    return true;
  }

  /** Brings back what the host tier has of these blocks; they are there when the next step begins. Returns how many. */
  #onboard(sequence: Sequence, after: readonly BlockIdentity[]): number {
    const tier = this.#options.hostTier;
    const identities = after.slice(0, tier?.match(after) ?? 0);
    if (!tier || identities.length === 0) return 0;
    const first = sequence.blockTable.length;
    const blocks = this.#blocks.allocate(identities.length)!;
    tier.onboard(identities, blocks);
    sequence.blockTable.push(...blocks);
    this.#blocks.store(sequence.blockTable, first, identities);
    return identities.length;
  }

  /** Extends the block table to hold `count` more computed tokens. */
  #reserve(sequence: Sequence, count: number): boolean {
    const needed = Math.ceil((sequence.computedTokens + count) / this.#blocks.blockTokens) - sequence.blockTable.length;
    const blocks = this.#blocks.allocate(Math.max(0, needed));
    if (!blocks) return false;
    sequence.blockTable.push(...blocks);
    return true;
  }

  #giveBack(sequence: Sequence): void {
    this.#blocks.release(sequence.blockTable);
    sequence.blockTable = [];
    sequence.computedTokens = 0;
    sequence.storedBlocks = 0;
  }
}
