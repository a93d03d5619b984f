/** A stored sequence of blocks: whose it is, its local hashes and what its engine calls them. */
export interface BlockSequence {
  worker: number;
  local: BigUint64Array;
  engine: BigUint64Array;
}

export interface SequenceShape {
  workers: number;
  count: number;
  shortest: number;
  longest: number;
}

/** The same sequences on every machine and in `test/peers/bench_dynamo_index.py`. */
export function blockSequences({ workers, count, shortest, longest }: SequenceShape): BlockSequence[] {
  const random = splitmix64(BigInt(workers * 1000 + count));
  return Array.from({ length: count }, (_, index) => {
    const length = shortest + Number(random() % BigInt(longest - shortest + 1));
    const local = BigUint64Array.from({ length }, random);
    const engine = BigUint64Array.from({ length }, random);
    return { worker: index % workers, local, engine };
  });
}

/** `count` prompts of `tokens` tokens; each begins like seven others and ends alone. */
export function promptsOf(count: number, tokens: number): Uint32Array[] {
  return Array.from({ length: count }, (_, prompt) =>
    Uint32Array.from({ length: tokens }, (_, i) => (i < tokens / 2 ? (prompt % 8) * 1009 + i : prompt * 7919 + i) % 50_000),
  );
}

function splitmix64(seed: bigint): () => bigint {
  let state = seed;
  return () => {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
    let mixed = state;
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 30n)) * 0xbf58476d1ce4e5b9n);
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn);
    return mixed ^ (mixed >> 31n);
  };
}
