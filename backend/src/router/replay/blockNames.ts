/** Small numbers for block hashes, in order of appearance: simulated caches count by them, many times per block. */
export class BlockNames {
  readonly #numbers = new Map<bigint, number>();
  readonly #hashes: bigint[] = [];

  numbersOf(hashes: BigUint64Array): Int32Array {
    const numbers = new Int32Array(hashes.length);
    for (let i = 0; i < hashes.length; i++) {
      const hash = hashes[i]!;
      let number = this.#numbers.get(hash);
      if (number === undefined) {
        number = this.#hashes.push(hash) - 1;
        this.#numbers.set(hash, number);
      }
      numbers[i] = number;
    }
    return numbers;
  }

  hashOf(number: number): bigint {
    return this.#hashes[number]!;
  }
}
