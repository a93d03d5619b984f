/**
 * The blocks that running requests use, counted per slot: a prefix shared by several requests is one set of blocks.
 * Sequences are always whole prompts, from their first block. No method keeps an array it was given.
 */
export interface ActiveBlocks {
  /** Returns what `release` wants to be told. */
  acquire(slot: number, sequence: BigUint64Array): number;
  /** Undoes one `acquire` of that slot. */
  release(slot: number, handle: number): void;
  /** Distinct blocks in use at a slot. */
  count(slot: number): number;
  /** For each slot below `shared.length`: how many leading blocks of `sequence` its running requests use. Overwrites `shared`. */
  sharedPrefix(sequence: BigUint64Array, shared: Uint32Array): void;
}

export class MapActiveBlocks implements ActiveBlocks {
  /** Per slot: sequence hash → running requests that use the block. */
  readonly #users = new Map<number, Map<bigint, number>>();
  readonly #acquired = new Map<number, BigUint64Array>();
  #nextHandle = 0;

  acquire(slot: number, sequence: BigUint64Array): number {
    let users = this.#users.get(slot);
    if (!users) this.#users.set(slot, (users = new Map()));
    for (const block of sequence) users.set(block, (users.get(block) ?? 0) + 1);
    this.#acquired.set(this.#nextHandle, sequence.slice());
    return this.#nextHandle++;
  }

  release(slot: number, handle: number): void {
    const users = this.#users.get(slot);
    const sequence = this.#acquired.get(handle);
    this.#acquired.delete(handle);
    if (!users || !sequence) return;
    for (const block of sequence) {
      const left = (users.get(block) ?? 0) - 1;
      if (left > 0) users.set(block, left);
      else users.delete(block);
    }
    if (users.size === 0) this.#users.delete(slot);
  }

  count(slot: number): number {
    return this.#users.get(slot)?.size ?? 0;
  }

  sharedPrefix(sequence: BigUint64Array, shared: Uint32Array): void {
    shared.fill(0);
    for (const [slot, users] of this.#users) {
      if (slot >= shared.length) continue;
      let depth = 0;
      while (depth < sequence.length && users.has(sequence[depth]!)) depth++;
      shared[slot] = depth;
    }
  }
}
