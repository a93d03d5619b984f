import { expect, test } from 'vitest';

import { topologyFixture } from '../../../test/support/courseFixture.ts';
import { layoutGraphs, podSize } from './graphLayout.ts';

const [graph] = topologyFixture().graphs;

test('frontends stand left of workers and no two pods overlap', () => {
  const { pods, headings } = layoutGraphs([graph!, { ...graph!, name: 'second' }]);
  expect(pods).toHaveLength(8);
  expect(headings).toHaveLength(2);
  for (const frontend of pods.filter(({ type }) => type === 'frontend')) {
    for (const worker of pods.filter(({ type, graph: name }) => type === 'worker' && name === frontend.graph))
      expect(worker.x).toBeGreaterThan(frontend.x + podSize.width);
  }
  for (const [i, a] of pods.entries()) {
    for (const b of pods.slice(i + 1)) expect(Math.abs(a.x - b.x) >= podSize.width || Math.abs(a.y - b.y) >= podSize.height).toBe(true);
  }
});

test('places do not depend on traffic', () => {
  const places = (edges: typeof graph.edges): unknown => layoutGraphs([{ ...graph!, edges }]).pods.map(({ id, x, y }) => ({ id, x, y }));
  expect(places([])).toEqual(places(graph!.edges));
});

test('a graph without pods and no graph at all are fine', () => {
  expect(layoutGraphs([{ ...graph!, components: [], edges: [] }])).toMatchObject({ pods: [], edges: [], headings: [{ y: 0 }] });
  expect(layoutGraphs([])).toEqual({ pods: [], headings: [], edges: [] });
});
