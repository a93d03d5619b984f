import fc from 'fast-check';

/**
 * s stored: worker, dp rank, parent's engine hash, [engine hash, local hash] of each block. r removed: worker, rank, engine hashes, and whether one
 * of them names a block that RadixTree has forgotten and we have not. c cleared: worker, rank. x worker removed. f find: local hashes.
 * Hashes are small numbers; `spread` makes 64 bits of them.
 */
export type RadixTreeOperation =
  | ['s', number, number, number | null, [number, number][]]
  | ['r', number, number, number[], boolean]
  | ['c', number, number]
  | ['x', number]
  | ['f', number[]];

/** To `f`: sorted [worker, rank, blocks]; to anything else `''` or an error in words. */
export type RadixTreeAnswer = [number, number, number][] | string;

export const spread = (number: number): bigint => BigInt.asUintN(64, BigInt(number) * 0x9e3779b97f4a7c15n);

/** (worker, dp rank): several workers, one of them with two ranks. */
export const RANKS = [
  [1, 0],
  [2, 0],
  [2, 1],
  [7, 0],
] as const;

interface Step {
  kind: 'store' | 'remove' | 'clear' | 'remove worker';
  rank: number;
  /** Each number picks a branch. */
  path: number[];
  /** Share of the path, in 256ths. */
  from: number;
  /** Events as engines send them: blocks follow held ones, and held ones are removed. Otherwise parents and blocks may be unknown. */
  sound: boolean;
  asked: number[];
}

/** Random events over so small a tree of prompts that prefixes are shared, branch, end, come twice and lose their parents. */
export function radixTreeScenarios(): fc.Arbitrary<RadixTreeOperation[]> {
  const path = fc.array(fc.nat({ max: 2 }), { minLength: 1, maxLength: 8 });
  const kind = fc.oneof(
    { weight: 12, arbitrary: fc.constant('store' as const) },
    { weight: 4, arbitrary: fc.constant('remove' as const) },
    { weight: 1, arbitrary: fc.constant('clear' as const) },
    { weight: 1, arbitrary: fc.constant('remove worker' as const) },
  );
  const step = fc.record({
    kind,
    rank: fc.nat({ max: RANKS.length - 1 }),
    path,
    from: fc.oneof(fc.constant(0), fc.nat({ max: 255 })),
    sound: fc.integer({ min: 0, max: 3 }).map((n) => n > 0),
    asked: path,
  });
  // Single blocks, or runs long enough for what is done in chunks and batches.
  return fc
    .tuple(fc.constantFrom(1, 1, 1, 20), fc.array(step, { minLength: 1, maxLength: 40, size: 'max' }))
    .map(([run, steps]) => new Planner(run).plan(steps));
}

/** Makes events of steps, and keeps out of what docs/router.md lists as different on purpose. */
class Planner {
  readonly #operations: RadixTreeOperation[] = [];
  /** Blocks that each number of a path stands for. */
  readonly #run: number;
  /** Engine hash of each path, alike at all ranks: RadixTree believes the first name it hears. */
  readonly #names = new Map<string, number>();
  /** Per rank: paths held by our index, and whether RadixTree has forgotten them with a block before them. */
  readonly #held = RANKS.map(() => new Map<string, { path: number[]; forgotten: boolean }>());

  constructor(run: number) {
    this.#run = run;
  }

  plan(steps: Step[]): RadixTreeOperation[] {
    for (const { kind, rank, path, from, sound, asked } of steps) {
      const blocks = this.#blocksOf(path);
      const start = Math.floor((from * blocks.length) / 256);
      if (kind === 'store') this.#store(rank, blocks, sound ? Math.min(start, this.#depth(rank, blocks)) : start);
      else if (kind === 'remove') this.#remove(rank, sound ? (this.#someHeld(rank, from) ?? blocks) : blocks, start);
      else if (kind === 'clear') this.#clear(rank);
      else this.#removeWorker(RANKS[rank]![0]);
      this.#operations.push(['f', this.#blocksOf(asked)], ['f', blocks]);
    }
    return this.#operations;
  }

  /** The parent may be unknown to the rank, blocks may be there already. */
  #store(rank: number, path: number[], start: number): void {
    const held = this.#held[rank]!;
    // Where a hole is filled again, what followed it matches here and not in RadixTree.
    const left = [...held.values()].filter(({ forgotten }) => forgotten).map(({ path: forgotten }) => forgotten);
    if (left.length > 0) this.#operations.push(['r', ...RANKS[rank]!, left.map((forgotten) => this.#name(forgotten)), true]);
    for (const forgotten of left) held.delete(forgotten.join());
    const blocks = path.slice(start).map((local, i): [number, number] => [this.#name(path.slice(0, start + i + 1)), local]);
    this.#operations.push(['s', ...RANKS[rank]!, start === 0 ? null : this.#name(path.slice(0, start)), blocks]);
    if (start > 0 && !held.has(path.slice(0, start).join())) return;
    for (let end = start + 1; end <= path.length; end++) held.set(path.slice(0, end).join(), { path: path.slice(0, end), forgotten: false });
  }

  /** Any block of the path and those after it, from the end as engines do it, whether held or not. */
  #remove(rank: number, path: number[], start: number): void {
    const held = this.#held[rank]!;
    start = Math.min(start, path.length - 1);
    const ends = Array.from({ length: path.length - start }, (_, i) => path.length - i);
    const known = ends.flatMap((end) => held.get(path.slice(0, end).join()) ?? []);
    const forgotten = known.some((entry) => entry.forgotten);
    this.#operations.push(['r', ...RANKS[rank]!, ends.map((end) => this.#name(path.slice(0, end))), forgotten]);
    for (const entry of known) held.delete(entry.path.join());
    const shortest = known.at(-1)?.path;
    if (!shortest) return;
    for (const entry of held.values()) if (shortest.every((local, i) => entry.path[i] === local)) entry.forgotten = true;
  }

  #clear(rank: number): void {
    this.#operations.push(['c', ...RANKS[rank]!]);
    this.#held[rank]!.clear();
  }

  #removeWorker(worker: number): void {
    this.#operations.push(['x', worker]);
    for (const [rank, [owner]] of RANKS.entries()) if (owner === worker) this.#held[rank]!.clear();
  }

  /** Leading blocks of the path that the rank holds. */
  #depth(rank: number, path: number[]): number {
    const end = path.findIndex((_, i) => !this.#held[rank]!.has(path.slice(0, i + 1).join()));
    return end < 0 ? path.length - 1 : end;
  }

  #someHeld(rank: number, share: number): number[] | undefined {
    const held = [...this.#held[rank]!.values()];
    return held[Math.floor((share * held.length) / 256)]?.path;
  }

  #blocksOf(path: number[]): number[] {
    return path.flatMap((branch) => Array.from({ length: this.#run }, (_, i) => branch * this.#run + i));
  }

  #name(path: number[]): number {
    const key = path.join();
    const name = this.#names.get(key) ?? this.#names.size + 1;
    this.#names.set(key, name);
    return name;
  }
}
