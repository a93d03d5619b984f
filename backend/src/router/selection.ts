import type { SeededRandom } from './seededRandom.ts';

export interface Selection {
  index: number;
  /** Indexes that the choice was drawn from; absent where it was drawn from all that share the lowest cost. */
  tied?: number[];
}

/** Lowest cost; of equal ones each with the same chance (reservoir sampling, as Dynamo's `minimum_cost_index`). */
export function minimumCost(costs: ArrayLike<number>, random: SeededRandom): number {
  let index = 0;
  let best = Infinity;
  let tied = 0;
  for (let i = 0; i < costs.length; i++) {
    const cost = costs[i]!;
    if (cost < best) {
      best = cost;
      index = i;
      tied = 1;
    } else if (cost === best) {
      tied++;
      if (random.below(tied) === 0) index = i;
    }
  }
  return index;
}

/** The indexes of what equals `costs[index]`. */
export function tiedWith(costs: ArrayLike<number>, index: number): number[] {
  return Array.from(costs, (cost, i) => (cost === costs[index] ? i : -1)).filter((i) => i >= 0);
}

/** Probability of each candidate at a temperature above 0: softmax of the costs scaled to [0, 1], as Dynamo's. */
export function softmaxProbabilities(costs: ArrayLike<number>, temperature: number): number[] {
  let lowest = Infinity;
  let highest = -Infinity;
  for (let i = 0; i < costs.length; i++) {
    lowest = Math.min(lowest, costs[i]!);
    highest = Math.max(highest, costs[i]!);
  }
  const range = highest - lowest;
  if (range === 0) return Array.from(costs, () => 1 / costs.length);
  const weights = Array.from(costs, (cost) => Math.exp(-(cost - lowest) / (range * temperature)));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** The first candidate at which `sample` (in [0, 1)) does not exceed the cumulated probability. */
export function sampleIndex(probabilities: readonly number[], sample: number): number {
  let cumulated = 0;
  for (const [index, probability] of probabilities.entries()) {
    cumulated += probability;
    if (sample <= cumulated) return index;
  }
  return probabilities.length - 1;
}

/** Temperature 0 takes the minimum; above it the choice is drawn. */
export function selectByCost(costs: ArrayLike<number>, temperature: number, random: SeededRandom): Selection {
  if (temperature === 0) return { index: minimumCost(costs, random) };
  const index = sampleIndex(softmaxProbabilities(costs, temperature), random.float());
  return { index, tied: [index] };
}
