import { expect, test } from 'vitest';

import { topologyFixture } from '../../../test/support/courseFixture.ts';
import { layoutGraphs, podSize } from './graphLayout.ts';
import { transferText } from './podText.ts';

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

test('prefill pods stand above decode pods, joined to these by what was read', () => {
  const [frontend, worker] = graph!.components;
  const prefill = { ...worker!, name: 'VllmPrefillWorker', role: 'prefill' as const, pods: [{ ...worker!.pods[0]!, name: 'prefill-0' }] };
  const decode = { ...worker!, role: 'decode' as const, pods: worker!.pods.slice(0, 2) };
  const transfers = [{ from: 'prefill-0', to: decode.pods[0]!.name, requests: 2, blocks: 12, bytes: 4_423_680 }];
  const { pods, edges } = layoutGraphs([{ ...graph!, components: [frontend!, decode, prefill], transfers }]);
  const [frontendPod, prefillPod, decodePod] = [
    pods.find(({ type }) => type === 'frontend')!,
    pods.find(({ role }) => role === 'prefill')!,
    pods.find(({ role }) => role === 'decode')!,
  ];
  expect(prefillPod.x).toBeGreaterThan(frontendPod.x + podSize.width);
  expect(decodePod.x).toBe(prefillPod.x);
  expect(decodePod.y).toBeGreaterThanOrEqual(prefillPod.y + podSize.height);
  expect(edges.filter(({ kind }) => kind === 'kv').map(({ blocks, bytes }) => ({ blocks, bytes }))).toEqual([
    { blocks: 12, bytes: 4_423_680 },
    { blocks: 0, bytes: 0 },
  ]);
  expect(transferText(transfers[0]!)).toBe('12 blocks · 4.4 MB');
});

test('places do not depend on traffic', () => {
  const places = (edges: typeof graph.edges): unknown => layoutGraphs([{ ...graph!, edges }]).pods.map(({ id, x, y }) => ({ id, x, y }));
  expect(places([])).toEqual(places(graph!.edges));
});

test('a graph without pods and no graph at all are fine', () => {
  expect(layoutGraphs([{ ...graph!, components: [], edges: [] }])).toMatchObject({ pods: [], edges: [], headings: [{ y: 0 }] });
  expect(layoutGraphs([])).toEqual({ pods: [], headings: [], edges: [] });
});
