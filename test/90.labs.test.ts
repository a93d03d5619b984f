import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ClusterView, junit, loadLabs, testLab, type PassResult } from '../backend/src/validation/index.ts';
import { startStack, type Stack } from './support/stack.ts';

const labs = await loadLabs(path.resolve(import.meta.dirname, '../labs'));
const results: PassResult[] = [];
let stack: Stack;

beforeAll(async () => {
  stack = await startStack({ components: ['controlplane', 'nodeagent', 'operator'] });
}, 120_000);

afterAll(async () => {
  const artifacts = path.resolve(import.meta.dirname, 'artifacts');
  mkdirSync(artifacts, { recursive: true });
  writeFileSync(path.join(artifacts, 'labs.xml'), junit(results));
  writeFileSync(path.join(artifacts, 'labs.json'), JSON.stringify(results, undefined, 1));
  await stack?.close();
});

describe.each(labs)('lab $yaml.id', (lab) => {
  it('fresh checks fail, known mistakes fail for their own reason, solutions pass, reset leaves nothing', { timeout: 600_000 }, async () => {
    const own = await testLab({ lab, cluster: ClusterView.fromKubeconfig(stack.kubeconfig), onResult: (result) => results.push(result) });
    const expected = lab.yaml.steps.filter((step) => step.readOnly === undefined).length + lab.wrong.length + lab.yaml.steps.length + 1;
    expect(own.filter((result) => result.verdict !== 'PASS').map(({ step, pass, name, verdict, message }) => ({ step, pass, name, verdict, message }))).toEqual(
      [],
    );
    expect(own.length).toBe(expected);
  });
});
