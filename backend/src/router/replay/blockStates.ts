/**
 * The cached blocks of one simulated worker by their numbers: who uses each, and in which order the unused ones are to be evicted.
 * Plain arrays and a linked list, because a replay looks at every block of every request several times.
 */
export class BlockStates {
  /** Running requests that use the block. */
  #users = new Int32Array(0);
  /** Neighbours among the unused, and whether it is one of them. */
  #before = new Int32Array(0);
  #after = new Int32Array(0);
  #waits = new Uint8Array(0);
  #oldest = NONE;
  #newest = NONE;
  #used = 0;
  #unused = 0;

  /** Blocks that running requests use. */
  get used(): number {
    return this.#used;
  }

  /** Cached blocks that nobody uses. */
  get unused(): number {
    return this.#unused;
  }

  /** Numbers below `count` may be named from now on. */
  reserve(count: number): void {
    if (count <= this.#users.length) return;
    const size = Math.max(count, 2 * this.#users.length, 1024);
    const grown = (column: Int32Array): Int32Array<ArrayBuffer> => {
      const made = new Int32Array(size);
      made.set(column);
      return made;
    };
    this.#users = grown(this.#users);
    this.#before = grown(this.#before);
    this.#after = grown(this.#after);
    const waits = new Uint8Array(size);
    waits.set(this.#waits);
    this.#waits = waits;
  }

  isUsed(block: number): boolean {
    return this.#users[block]! > 0;
  }

  isUnused(block: number): boolean {
    return this.#waits[block] === 1;
  }

  use(block: number): void {
    if (this.#waits[block] === 1) this.#unlink(block);
    if (this.#users[block]! === 0) this.#used++;
    this.#users[block]!++;
  }

  /** One request less; the block stays cached until it is evicted. */
  disuse(block: number): void {
    this.#users[block]!--;
    if (this.#users[block]! > 0) return;
    this.#used--;
    this.#unused++;
    this.#waits[block] = 1;
    this.#before[block] = this.#newest;
    this.#after[block] = NONE;
    if (this.#newest === NONE) this.#oldest = block;
    else this.#after[this.#newest] = block;
    this.#newest = block;
  }

  /** Drops the block that has been unused for longest, and returns it. There is one. */
  evict(): number {
    const block = this.#oldest;
    this.#unlink(block);
    return block;
  }

  #unlink(block: number): void {
    const before = this.#before[block]!;
    const after = this.#after[block]!;
    if (before === NONE) this.#oldest = after;
    else this.#after[before] = after;
    if (after === NONE) this.#newest = before;
    else this.#before[after] = before;
    this.#waits[block] = 0;
    this.#unused--;
  }
}

const NONE = -1;
