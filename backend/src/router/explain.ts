import type { CandidateScore, RouterMode } from '../protocol/index.ts';

interface Explained {
  mode: RouterMode;
  requestBlocks: number;
  candidates: readonly CandidateScore[];
  winner: CandidateScore;
  tied: readonly string[];
  temperature: number;
  pinned: boolean;
}

const MAX_LOSERS_IN_WORDS = 8;

/** Why the chosen worker won and each other lost, for people. */
export function explainDecision(decision: Explained): string {
  const { mode, winner, candidates, pinned } = decision;
  if (pinned) return `${nameOf(winner)} was asked for by the request; nothing was weighed.`;
  if (candidates.length === 1) return `${nameOf(winner)} is the only worker that may take this request.`;
  if (mode === 'round-robin') return `${nameOf(winner)} is next in turn; round-robin looks at neither cache nor load.`;
  if (mode === 'random') return `${nameOf(winner)} was drawn at random; cache and load were not looked at.`;
  if (mode === 'power-of-two') return `${nameOf(winner)} has the fewer running requests (${winner.active_requests}) of two drawn at random.`;
  if (mode === 'least-loaded') return `${nameOf(winner)} has the fewest running requests (${winner.active_requests}).`;
  return explainCost(decision);
}

function explainCost({ candidates, winner, tied, temperature, requestBlocks }: Explained): string {
  const how =
    temperature > 0
      ? `was drawn at temperature ${temperature}, where a lower cost is more likely: its cost is ${costOf(winner)}`
      : tied.length > 1
        ? `shares the lowest cost ${costOf(winner)} with ${tied.length - 1} other${tied.length > 2 ? 's' : ''} and was drawn from them`
        : `has the lowest cost ${costOf(winner)}`;
  const losers = candidates.filter((candidate) => candidate !== winner).sort((a, b) => (a.cost ?? 0) - (b.cost ?? 0));
  const lost = losers.slice(0, MAX_LOSERS_IN_WORDS).map((loser) => `${nameOf(loser)} ${difference(winner, loser)}`);
  if (losers.length > lost.length) lost.push(`${losers.length - lost.length} more cost at least as much`);
  return `${nameOf(winner)} ${how}: it holds ${winner.overlap_blocks} of the prompt's ${requestBlocks} blocks. ${lost.join('; ')}.`;
}

/** The one or two things that made the loser dearer (or, with ties and temperature, did not). */
function difference(winner: CandidateScore, loser: CandidateScore): string {
  const extra = (loser.cost ?? 0) - (winner.cost ?? 0);
  if (extra === 0) return `costs the same (${costOf(loser)})`;
  if (extra < 0) return `would have been cheaper (${costOf(loser)}) but was not drawn`;
  const causes: string[] = [];
  const fewerBlocks = winner.overlap_blocks - loser.overlap_blocks;
  if (fewerBlocks > 0) causes.push(`holds ${fewerBlocks} block${fewerBlocks === 1 ? '' : 's'} less`);
  const queued = loser.active_prefill_tokens - winner.active_prefill_tokens;
  if (queued > 0) causes.push(`has ${queued} more prompt tokens to compute`);
  const decoding = (loser.terms['decode_cost_blocks'] ?? 0) - (winner.terms['decode_cost_blocks'] ?? 0);
  if (decoding > 0) causes.push(`would carry ${format(decoding)} more decode blocks`);
  return `costs ${format(extra)} more (${costOf(loser)})${causes.length > 0 ? ` because it ${causes.join(' and ')}` : ''}`;
}

const nameOf = ({ pod, worker_id, dp_rank }: CandidateScore): string => `${pod ?? `worker ${worker_id}`}${dp_rank > 0 ? ` rank ${dp_rank}` : ''}`;
const costOf = ({ cost }: CandidateScore): string => (cost === null ? 'none' : format(cost));
const format = (value: number): string => String(Math.round(value * 100) / 100);
