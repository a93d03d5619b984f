import { describe, expect, it } from 'vitest';
import type { RoutingDecision } from '../protocol/index.ts';
import { RouterError } from './routerError.ts';
import { ask, prompt, routerWith, storedEvent } from './routerFixture.ts';
import { whatIf } from './whatIf.ts';

describe('cost formulas', () => {
  it('dynamo-0.8: the example of its documentation, (8,10), (5,5), (2,9) → 18, 10 wins, 11', () => {
    const router = routerWith(3, { formula: 'dynamo-0.8', blockSize: 1 });
    // Ten blocks of prompt: cached parts leave 8, 5 and 2 to prefill; running requests bring decode blocks to 10, 5 and 9 less the prompt's ten.
    router.applyEvent(storedEvent(1n, 0, prompt(10).slice(0, 2), { blockSize: 1 }));
    router.applyEvent(storedEvent(2n, 0, prompt(10).slice(0, 5), { blockSize: 1 }));
    router.applyEvent(storedEvent(3n, 0, prompt(10).slice(0, 8), { blockSize: 1 }));
    const decision = ask(router, prompt(10).slice(0, 10));
    expect(decision.candidates.map(({ terms }) => terms['prefill_cost_blocks'])).toEqual([8, 5, 2]);
    const rescored = whatIf({
      ...(JSON.parse(JSON.stringify(decision)) as RoutingDecision),
      candidates: decision.candidates.map((candidate, i) => ({ ...candidate, additional_decode_blocks: [10, 5, 9][i]! })),
    });
    expect(rescored.candidates.map(({ cost }) => cost)).toEqual([18, 10, 11]);
    expect(rescored.winners).toEqual(['2']);
  });

  it('what-if scores a recorded decision with other weights, from the state of that moment', () => {
    const router = routerWith(2);
    router.applyEvent(storedEvent(1n, 0, prompt(6)));
    const decision = ask(router, prompt(8));
    router.setWorkers([]);
    expect(whatIf(decision)).toMatchObject({ sameChoice: true, winners: ['1'] });
    expect(whatIf(decision).candidates.map(({ cost }) => cost)).toEqual(decision.candidates.map(({ cost }) => cost));
    expect(whatIf(decision, { weights: { overlap_score_weight: 0 } }).winners).toEqual(['1', '2']);
    expect(whatIf(decision, { weights: { temperature: 1 } }).candidates.map(({ probability }) => probability.toFixed(3))).toEqual(['0.731', '0.269']);
    expect(() => whatIf(decision, { weights: { temperature: -1 } })).toThrow(RouterError);
  });
});
