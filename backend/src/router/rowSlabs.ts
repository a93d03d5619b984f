/** Rows of several tables in one array. */
export interface Slab {
  readonly rows: Uint32Array;
  /** Elements given away, from the first on. */
  used: number;
  /** Changes when the rows are used anew: whoever remembers another number has lost them. */
  generation: number;
  /** Number of the last table in it. */
  lastTable: number;
}

const SLAB = 1 << 16;

/**
 * Memory for the tables of the last `tables` decisions. Making an array costs more than filling a table, and meeting its pages for the first
 * time more still, so the oldest slab is filled again once nobody needs it. Nothing of an old decision is looked at to find that out.
 */
export class RowSlabs {
  readonly #tables: number;
  readonly #createRows: (length: number) => Uint32Array;
  /** Oldest first; the last one is filling. */
  readonly #slabs: Slab[] = [];
  #taken = 0;

  constructor(tables: number, createRows: (length: number) => Uint32Array) {
    this.#tables = tables;
    this.#createRows = createRows;
  }

  /** The slab whose last `length` used elements are now the caller's, with whatever they held before, until `tables` more are taken. */
  take(length: number): Slab {
    let slab = this.#slabs.at(-1);
    if (slab === undefined || slab.rows.length - slab.used < length) this.#slabs.push((slab = this.#fresh(length)));
    slab.used += length;
    slab.lastTable = ++this.#taken;
    return slab;
  }

  #fresh(length: number): Slab {
    while (this.#slabs.length > 0 && this.#slabs[0]!.lastTable <= this.#taken - this.#tables) {
      const slab = this.#slabs.shift()!;
      slab.generation++;
      slab.used = 0;
      if (slab.rows.length >= length) return slab;
    }
    // Filled, so that its pages are there: met one by one, each would hold up a decision.
    return { rows: this.#createRows(Math.max(SLAB, length)).fill(0), used: 0, generation: 0, lastTable: 0 };
  }
}
