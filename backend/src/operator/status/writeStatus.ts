import { isDeepStrictEqual } from 'node:util';
import type { KubeClient, KubeObject } from '../../kube/index.ts';
import { dynamoApiVersion, resourceType } from '../names.ts';

const statusManager = 'dynamo-operator-status';
const types = { DynamoGraphDeployment: resourceType.graph, DynamoComponentDeployment: resourceType.component };

/** Applies a status that differs from the object's own. The uid keeps it from landing on a successor of the same name. */
export async function writeStatus(client: KubeClient, kind: keyof typeof types, object: KubeObject, status: object): Promise<boolean> {
  if (isDeepStrictEqual(sorted(object['status']), sorted(status))) return false;
  const { name, namespace, uid } = object.metadata;
  await client.patch(
    types[kind],
    name,
    namespace,
    { apiVersion: dynamoApiVersion, kind, metadata: { name, namespace, uid }, status },
    { type: 'application/apply-patch+yaml', subresource: 'status', query: { fieldManager: statusManager, force: true } },
  );
  return true;
}

/** Conditions in a fixed order: the server keeps that of their first appearance. */
function sorted(status: unknown): unknown {
  if (typeof status !== 'object' || status === null || !('conditions' in status) || !Array.isArray(status.conditions)) return status;
  return { ...status, conditions: [...(status.conditions as { type: string }[])].sort((a, b) => a.type.localeCompare(b.type)) };
}
