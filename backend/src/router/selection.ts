import type { SeededRandom } from './seededRandom.ts';

export interface Selection {
  index: number;
  /** Indexes that shared the lowest cost; just the winner where there was no tie or the choice was sampled. */
  tied: number[];
}

/** Lowest cost; of equal ones each with the same chance (reservoir sampling, as Dynamo's `minimum_cost_index`). */
export function minimumCost(costs: ArrayLike<number>, random: SeededRandom): Selection {
  let index = 0;
  let best = Infinity;
  let tied: number[] = [];
  for (let i = 0; i < costs.length; i++) {
    if (costs[i]! < best) {
      best = costs[i]!;
      index = i;
      tied = [i];
    } else if (costs[i] === best) {
      tied.push(i);
      if (random.below(tied.length) === 0) index = i;
    }
  }
  return { index, tied };
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
  if (temperature === 0) return minimumCost(costs, random);
  const index = sampleIndex(softmaxProbabilities(costs, temperature), random.float());
  return { index, tied: [index] };
}
