import { describe, expect, it } from 'vitest';
import type { ClusterView } from './clusterView.ts';
import { junit } from './junit.ts';
import type { Lab } from './labDefinition.ts';
import { testLab } from './testLab.ts';

/** A lab of one step whose "cluster" is a variable: done when it is 'right'. */
function toyLab(change: Partial<Lab> = {}): Lab {
  let state = 'none';
  return {
    yaml: {
      id: '99-toy',
      title: 'Toy',
      summary: 'Toy',
      rows: [],
      requires: [],
      steps: [{ id: 'one', title: 'One', goal: 'be right', durationMinutes: 1, rows: [], checkSeconds: 5 }],
    },
    dir: '/nowhere',
    checks: {
      one: async (ctx) => {
        ctx.require({ id: 'exists', title: 'exists', ok: state !== 'none', expected: 'something', observed: state, evidence: [] });
        ctx.assert({ id: 'right', title: 'is right', ok: state === 'right', expected: 'right', observed: state, evidence: [] });
      },
    },
    solution: {
      one: async () => {
        state = 'right';
      },
    },
    reset: {
      one: async () => {
        state = 'none';
      },
    },
    wrong: [
      {
        step: 'one',
        name: 'typo',
        because: 'people mistype',
        apply: async () => {
          state = 'rihgt';
        },
        expect: { assertion: 'right' },
      },
    ],
    hints: { one: ['think'] },
    solutionText: { one: 'be right' },
    leftovers: async () => (state === 'none' ? [] : [state]),
    ...change,
  };
}

const verdicts = async (lab: Lab) => (await testLab({ lab, cluster: {} as ClusterView })).map(({ pass, verdict }) => `${pass} ${verdict}`);

describe('testLab', () => {
  it('passes a sound lab through all four passes', async () => {
    expect(await verdicts(toyLab())).toEqual(['fresh PASS', 'wrong PASS', 'solution PASS', 'reset PASS']);
  });

  it('finds a check that passes although nothing was done', async () => {
    const always = toyLab({ checks: { one: async (ctx) => void ctx.assert({ id: 'x', title: 'x', ok: true, expected: '', observed: '', evidence: [] }) } });
    expect(await verdicts(always)).toEqual(['fresh FAIL', 'wrong FAIL', 'solution PASS', 'reset PASS']);
  });

  it('finds a wrong answer that fails for another reason than the stated one', async () => {
    const lab = toyLab();
    lab.wrong[0]!.expect.assertion = 'exists';
    const results = await testLab({ lab, cluster: {} as ClusterView });
    expect(results[1]).toMatchObject({ pass: 'wrong', verdict: 'FAIL', message: expect.stringContaining('must fail first at "exists"') as string });
  });

  it('finds a solution that does not solve, and what a reset leaves behind', async () => {
    expect(await verdicts(toyLab({ solution: { one: async () => {} } }))).toEqual(['fresh PASS', 'wrong PASS', 'solution FAIL', 'reset PASS']);
    expect(await verdicts(toyLab({ reset: { one: async () => {} } }))).toEqual(['fresh PASS', 'wrong PASS', 'solution PASS', 'reset FAIL']);
  });

  it('tells an infrastructure ERROR from a FAIL, also in JUnit', async () => {
    const broken = toyLab({
      checks: {
        one: async () => {
          throw new Error('API server gone & <away>');
        },
      },
    });
    const results = await testLab({ lab: broken, cluster: {} as ClusterView });
    expect(results.map(({ verdict }) => verdict)).toEqual(['ERROR', 'ERROR', 'ERROR', 'PASS']);
    const xml = junit(results);
    expect(xml).toContain('tests="4" failures="0" errors="3"');
    expect(xml).toContain('API server gone &amp; &lt;away&gt;');
  });
});
