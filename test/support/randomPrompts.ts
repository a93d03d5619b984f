/** Numbers in [0, 1) that repeat with the seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const below = (random: () => number, limit: number): number => Math.floor(random() * limit);

/** Ordinary tokens of the generated test model: no control tokens. */
export function randomTokens(random: () => number, count: number): number[] {
  return Array.from({ length: count }, () => 3 + below(random, 250));
}

/** Prompts of 1 to `longest` tokens; half of them begin like an earlier one. */
export function randomPrompts(random: () => number, count: number, longest: number): number[][] {
  const prompts: number[][] = [];
  for (let i = 0; i < count; i++) {
    const length = 1 + below(random, longest);
    const other = prompts[below(random, Math.max(1, prompts.length))];
    const shared = other === undefined || random() < 0.5 ? [] : other.slice(0, below(random, Math.min(other.length, length)));
    prompts.push([...shared, ...randomTokens(random, length - shared.length)]);
  }
  return prompts;
}
