import type { RouterMode } from '../protocol/index.ts';
import type { SeededRandom } from './seededRandom.ts';
import { minimumCost, selectByCost, type Selection, tiedWith } from './selection.ts';

/** Everything a mode may look at, by candidate index. `turn` counts routed requests: round-robin's only state. */
export interface Choice {
  candidates: { readonly length: number; activeRequests(): Float64Array };
  costs: Float64Array;
  turn: number;
  temperature: number;
  random: SeededRandom;
}

type Chooser = (choice: Choice) => Selection;

const byTurn: Chooser = ({ candidates, turn }) => only(turn % candidates.length);

const drawn: Chooser = ({ candidates, random }) => only(random.below(candidates.length));

const leastLoaded: Chooser = ({ candidates, random }) => {
  const activeRequests = candidates.activeRequests();
  const index = minimumCost(activeRequests, random);
  return { index, tied: tiedWith(activeRequests, index) };
};

/** Two different candidates drawn at random; the one with fewer running requests. */
const powerOfTwo: Chooser = ({ candidates, random }) => {
  const activeRequests = candidates.activeRequests();
  const count = activeRequests.length;
  if (count === 1) return only(0);
  const first = random.below(count);
  const second = (first + 1 + random.below(count - 1)) % count;
  const drawn = [first, second];
  const requests = [activeRequests[first]!, activeRequests[second]!];
  const fewer = minimumCost(requests, random);
  return { index: drawn[fewer]!, tied: tiedWith(requests, fewer).map((index) => drawn[index]!) };
};

const byCost: Chooser = ({ costs, temperature, random }) => selectByCost(costs, temperature, random);

function only(index: number): Selection {
  return { index, tied: [index] };
}

/** `direct` gets here only when a pinned worker has several ranks: the cheapest of them. */
export const CHOOSERS: Record<RouterMode, Chooser> = {
  'round-robin': byTurn,
  random: drawn,
  'power-of-two': powerOfTwo,
  'least-loaded': leastLoaded,
  kv: byCost,
  direct: byCost,
};
