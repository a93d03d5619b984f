/**
 * The hashes of one event as typed arrays, as indexes take them. Making an array costs more than filling it, so arrays are used again:
 * what a method returns is valid until the next call.
 */
export class HashColumns {
  readonly #engine = new ReusedHashes();
  readonly #local = new ReusedHashes();

  stored(blocks: readonly { blockHash: bigint; tokensHash: bigint }[]): { engineHashes: BigUint64Array; localHashes: BigUint64Array } {
    const engineHashes = this.#engine.take(blocks.length);
    const localHashes = this.#local.take(blocks.length);
    for (let i = 0; i < blocks.length; i++) {
      const block = blocks[i]!;
      engineHashes[i] = block.blockHash;
      localHashes[i] = block.tokensHash;
    }
    return { engineHashes, localHashes };
  }

  removed(blockHashes: readonly bigint[]): BigUint64Array {
    const engineHashes = this.#engine.take(blockHashes.length);
    for (let i = 0; i < blockHashes.length; i++) engineHashes[i] = blockHashes[i]!;
    return engineHashes;
  }
}

/** Events of few blocks are frequent: their arrays are kept whole. */
const SHORT = 8;
/** Above this an array is made for the event alone. */
const LONG = 4096;

class ReusedHashes {
  readonly #short = Array.from({ length: SHORT + 1 }, (_, length) => new BigUint64Array(length));
  readonly #long = new BigUint64Array(LONG);

  take(length: number): BigUint64Array {
    if (length <= SHORT) return this.#short[length]!;
    return length <= LONG ? this.#long.subarray(0, length) : new BigUint64Array(length);
  }
}
