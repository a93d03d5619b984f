import { describe, expect, it } from 'vitest';
import type { DynamoGraphDeployment, ServiceSpec } from './graphTypes.ts';
import { graphWarnings, validateGraph } from './validateGraph.ts';

const graph = (services: Record<string, ServiceSpec>, spec: Partial<DynamoGraphDeployment['spec']> = {}): DynamoGraphDeployment => ({
  metadata: { name: 'g', namespace: 'ns' },
  spec: { services, ...spec },
});

describe('validateGraph', () => {
  it.each<[string, DynamoGraphDeployment]>([
    ['spec.services must have at least one service', graph({})],
    ['spec.services[W].replicas must be non-negative', graph({ W: { replicas: -1 } })],
    ['spec.services[W].ingress.host is required when ingress is enabled', graph({ W: { ingress: { enabled: true } } })],
    ['spec.services[W].volumeMounts[0].mountPoint is required when useAsCompilationCache is false', graph({ W: { volumeMounts: [{ name: 'a' }] } })],
    ['spec.services[W].sharedMemory.size is required when disabled is false', graph({ W: { sharedMemory: {} } })],
    ['spec.services[w]: has the same name as spec.services[W] in lower case', graph({ W: {}, w: {} })],
    [`spec.services[a_b]: name must consist of letters, digits and '-'`, graph({ a_b: {} })],
    [
      'spec.pvcs[0].size is required when create is true',
      graph({ W: {} }, { pvcs: [{ name: 'p', create: true, storageClass: 's', volumeAccessMode: 'ReadWriteMany' }] }),
    ],
  ])('%s', (text, invalid) => {
    expect(validateGraph(invalid)).toEqual([text]);
  });

  it('names the length of a name that is too long', () => {
    expect(validateGraph(graph({ ['a'.repeat(62)]: {} }))).toEqual([expect.stringContaining('combined resource name length 64 exceeds 63-character limit')]);
  });

  it('asks services of a runtime before 0.8 to agree on dynamoNamespace', () => {
    const service = (dynamoNamespace: string, tag: string): ServiceSpec => ({ dynamoNamespace, extraPodSpec: { mainContainer: { image: `x:${tag}` } } });
    expect(validateGraph(graph({ A: service('one', '0.7.1'), B: service('two', '0.7.1') }))).toEqual([
      'namespace mismatch for component B: graph uses namespace one but component specifies two',
    ]);
    expect(validateGraph(graph({ A: service('one', '0.8.0'), B: service('two', '0.8.0') }))).toEqual([]);
  });

  it('warns of fields that nothing obeys', () => {
    expect(graphWarnings(graph({ A: { dynamoNamespace: 'x' }, B: { autoscaling: {} }, C: { dynamoNamespace: 'ns-g' } }))).toEqual([
      "spec.services[A].dynamoNamespace is deprecated and ignored. Value 'x' will be replaced with 'ns-g'. Remove this field from your configuration",
      expect.stringContaining('spec.services[B].autoscaling is deprecated and ignored.'),
    ]);
  });
});
