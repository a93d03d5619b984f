/** Rows of several tables in one array. */
export interface Slab {
  readonly rows: Uint32Array;
  /** Elements given away, from the first on. */
  used: number;
  /** Tables that still need theirs. */
  tables: number;
}

const SLAB = 1 << 16;
/** One to go on with while another is filling. */
const SPARE = 2;

/**
 * Memory for tables of numbers that go in about the order in which they came. Making an array costs more than filling a table, and meeting its
 * pages for the first time more still, so slabs that nobody needs any more are filled again.
 */
export class RowSlabs {
  readonly #spare: Slab[] = [];
  #current: Slab | undefined;

  /** The slab whose last `length` used elements are now the caller's, with whatever they held before. */
  take(length: number): Slab {
    let slab = this.#current;
    if (slab === undefined || slab.rows.length - slab.used < length) this.#current = slab = this.#fresh(length);
    slab.used += length;
    slab.tables++;
    return slab;
  }

  /** One table of this slab is not needed any more. */
  release(slab: Slab): void {
    slab.tables--;
    if (slab.tables > 0) return;
    slab.used = 0;
    if (slab !== this.#current && this.#spare.length < SPARE) this.#spare.push(slab);
  }

  #fresh(length: number): Slab {
    const spare = this.#spare.pop();
    if (spare !== undefined && spare.rows.length >= length) return spare;
    // Filled, so that its pages are there: met one by one, each would hold up a decision.
    return { rows: new Uint32Array(Math.max(SLAB, length)).fill(0), used: 0, tables: 0 };
  }
}
