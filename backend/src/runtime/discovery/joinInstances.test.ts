import { describe, expect, it } from 'vitest';
import { instanceIdOfPod } from '../instanceId.ts';
import { testInstance } from './discovery.contract.ts';
import { encodeInstance } from './instanceRecord.ts';
import { joinInstances, type DynamoWorkerMetadata, type EndpointSlice } from './joinInstances.ts';

function slice(pods: Record<string, boolean>, port = 'system'): EndpointSlice {
  return {
    metadata: { name: 'graph-worker-x1' },
    ports: [{ name: port, port: 9090 }],
    endpoints: Object.entries(pods).map(([name, ready]) => ({ conditions: { ready }, targetRef: { kind: 'Pod', name } })),
  };
}

function metadata(pod: string, idOf = pod): DynamoWorkerMetadata {
  return { metadata: { name: pod }, spec: { data: encodeInstance({ ...testInstance, instanceId: instanceIdOfPod(idOf) }) } };
}

describe('joinInstances', () => {
  it('needs a ready endpoint and the metadata, both', () => {
    const { instances, problems } = joinInstances(
      [slice({ both: true, unready: false, bare: true })],
      [metadata('both'), metadata('unready'), metadata('absent')],
    );
    expect(instances.map(({ pod }) => pod)).toEqual(['both']);
    expect(problems.join('\n')).toMatch(/'unready'.*not ready[\s\S]*'absent'.*not ready[\s\S]*'bare' is ready but has no DynamoWorkerMetadata/);
  });

  it('ignores slices without a port named system and says so', () => {
    const { instances, problems } = joinInstances([slice({ worker: true }, 'http')], [metadata('worker')]);
    expect(instances).toEqual([]);
    expect(problems[0]).toBe("EndpointSlice 'graph-worker-x1' did not have a system port defined");
  });

  it('refuses metadata of another pod’s id', () => {
    const { instances, problems } = joinInstances([slice({ worker: true })], [metadata('worker', 'somebody-else')]);
    expect(instances).toEqual([]);
    expect(problems[0]).toContain('names instance');
  });

  it('survives slices and metadata without content', () => {
    const empty = { metadata: { name: 'e' }, ports: null, endpoints: null };
    expect(joinInstances([empty, { ...empty, ports: [{ name: 'system' }] }], [{ metadata: { name: 'p' } }]).instances).toEqual([]);
  });
});
