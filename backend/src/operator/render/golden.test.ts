import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { componentContext } from './componentContext.ts';
import { deployment } from './deployment.ts';
import { discoveryAccess } from './discoveryAccess.ts';
import { service } from './service.ts';
import { demoGraph, plainOptions, storedComponent } from './testGraphs.ts';

const yaml = (documents: unknown[]): string => documents.map((document) => stringify(document, { aliasDuplicateObjects: false })).join('---\n');

describe('what is made for one graph', () => {
  it.each(['0.7.1', '0.8.0', '1.5.0'])('with runtime %s', async (tag) => {
    const graph = demoGraph(tag);
    const children = ['Frontend', 'VllmWorker'].flatMap((name) => {
      const context = componentContext(storedComponent(graph, name), plainOptions);
      return [storedComponent(graph, name), deployment(context), service(context)];
    });
    const { serviceAccount, role, roleBinding } = discoveryAccess(graph);
    await expect(yaml([...children, serviceAccount, role, roleBinding])).toMatchFileSnapshot(`testdata/demo-${tag}.yaml`);
  });
});
