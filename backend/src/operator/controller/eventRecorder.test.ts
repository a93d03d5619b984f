import { describe, expect, it } from 'vitest';
import type { KubeObject } from '../../kube/index.ts';
import { EventRecorder } from './eventRecorder.ts';

const graph: KubeObject = { metadata: { name: 'g', namespace: 'ns', uid: 'u', generation: 1 } };

function recorder(options: { patchFails?: boolean; createFails?: boolean } = {}): {
  events: EventRecorder;
  created: KubeObject[];
  patched: unknown[];
  errors: unknown[];
} {
  const created: KubeObject[] = [];
  const patched: unknown[] = [];
  const errors: unknown[] = [];
  const events = new EventRecorder(
    {
      create: async <T extends KubeObject>(_type: unknown, object: KubeObject): Promise<T> => {
        if (options.createFails === true) throw new Error('no');
        created.push(object);
        return object as T;
      },
      patch: async <T extends KubeObject>(_type: unknown, _name: string, _namespace: string | undefined, body: unknown): Promise<T> => {
        if (options.patchFails === true) throw new Error('gone');
        patched.push(body);
        return body as T;
      },
    },
    (error) => errors.push(error),
  );
  return { events, created, patched, errors };
}

describe('EventRecorder', () => {
  it('counts a repeated event up', async () => {
    const { events, created, patched } = recorder();
    for (let i = 0; i < 3; i += 1) events.record(graph, 'DynamoGraphDeployment', 'Normal', 'Update', 'done');
    events.record(graph, 'DynamoGraphDeployment', 'Normal', 'Update', 'other');
    await events.flush();
    expect(created.map((event) => [event['reason'], event['message'], event['count']])).toEqual([
      ['Update', 'done', 1],
      ['Update', 'other', 1],
    ]);
    expect(patched).toMatchObject([{ count: 2 }, { count: 3 }]);
    expect(created[0]).toMatchObject({
      involvedObject: { kind: 'DynamoGraphDeployment', name: 'g', namespace: 'ns', uid: 'u' },
      metadata: { namespace: 'ns' },
    });
  });

  it('writes a new one where the old one has expired', async () => {
    const { events, created } = recorder({ patchFails: true });
    events.record(graph, 'X', 'Normal', 'A', 'a');
    events.record(graph, 'X', 'Normal', 'A', 'a');
    await events.flush();
    expect(created).toHaveLength(2);
  });

  it('records once per generation', async () => {
    const { events, created, patched } = recorder();
    events.recordOnce(graph, 'X', 'Normal', 'A', 'a');
    events.recordOnce(graph, 'X', 'Normal', 'A', 'a');
    events.recordOnce({ metadata: { ...graph.metadata, generation: 2 } }, 'X', 'Normal', 'A', 'a');
    await events.flush();
    expect([created.length, patched.length]).toEqual([1, 1]);
  });

  it('tells of an event that could not be written and goes on', async () => {
    const { events, errors } = recorder({ createFails: true });
    events.record(graph, 'X', 'Normal', 'A', 'a');
    events.record(graph, 'X', 'Normal', 'B', 'b');
    await events.flush();
    expect(errors).toHaveLength(2);
  });
});
