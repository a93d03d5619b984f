import type { CandidateScore, RouterMode } from '../protocol/index.ts';
import type { SeededRandom } from './seededRandom.ts';
import { minimumCost, selectByCost, type Selection } from './selection.ts';

/** Everything a mode may look at. `turn` counts routed requests: round-robin's only state. */
export interface Choice {
  candidates: readonly CandidateScore[];
  turn: number;
  temperature: number;
  random: SeededRandom;
}

type Chooser = (choice: Choice) => Selection;

const byTurn: Chooser = ({ candidates, turn }) => only(turn % candidates.length);

const drawn: Chooser = ({ candidates, random }) => only(random.below(candidates.length));

const leastLoaded: Chooser = ({ candidates, random }) =>
  minimumCost(
    candidates.map((candidate) => candidate.active_requests),
    random,
  );

/** Two different candidates drawn at random; the one with fewer running requests. */
const powerOfTwo: Chooser = ({ candidates, random }) => {
  if (candidates.length === 1) return only(0);
  const first = random.below(candidates.length);
  const second = (first + 1 + random.below(candidates.length - 1)) % candidates.length;
  const fewer = minimumCost([candidates[first]!.active_requests, candidates[second]!.active_requests], random);
  return { index: fewer.index === 0 ? first : second, tied: fewer.tied.map((index) => (index === 0 ? first : second)) };
};

const byCost: Chooser = ({ candidates, temperature, random }) =>
  selectByCost(
    candidates.map((candidate) => candidate.cost ?? 0),
    temperature,
    random,
  );

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
