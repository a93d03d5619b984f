import { createHash } from 'node:crypto';
import type { KubeClient, KubeObject, ResourceType } from '../../kube/index.ts';
import { annotation, fieldManager } from '../names.ts';

/** The name is taken by an object of another owner: one that is still being deleted, or a stranger's. */
export class OwnershipError extends Error {
  readonly code = 'CHILD_NOT_OURS';
  constructor(child: KubeObject, owner: string) {
    super(`${child.kind ?? 'object'} "${child.metadata.name}" exists and is controlled by ${owner}`);
    this.name = 'OwnershipError';
  }
}

/** Whether everything in `desired` is in `live` with the same value; lists must have the same length. */
export function covers(live: unknown, desired: unknown): boolean {
  if (Array.isArray(desired)) return Array.isArray(live) && live.length === desired.length && desired.every((item, index) => covers(live[index], item));
  if (typeof desired === 'object' && desired !== null) {
    return typeof live === 'object' && live !== null && Object.entries(desired).every(([key, value]) => covers((live as Record<string, unknown>)[key], value));
  }
  return live === desired;
}

/**
 * Brings a child to its rendered form by server-side apply, and only when it differs: the annotation with the hash of the
 * last applied form notices removed fields, the comparison notices what others changed.
 */
export async function applyChild<T extends KubeObject>(
  client: KubeClient,
  type: ResourceType,
  desired: KubeObject,
  live: T | undefined,
): Promise<{ object: T; changed: boolean }> {
  const hash = createHash('sha256').update(JSON.stringify(desired)).digest('hex').slice(0, 16);
  const stamped: KubeObject = {
    ...desired,
    metadata: { ...desired.metadata, annotations: { ...desired.metadata.annotations, [annotation.appliedHash]: hash } },
  };
  if (live !== undefined) {
    const owner = live.metadata.ownerReferences?.find((reference) => reference.controller === true);
    const ours = desired.metadata.ownerReferences?.[0]?.uid;
    if (owner?.uid !== ours) throw new OwnershipError(desired, owner === undefined ? 'nobody' : `${owner.kind} "${owner.name}" (uid ${owner.uid})`);
    if (live.metadata.deletionTimestamp !== undefined) throw new OwnershipError(desired, 'the garbage collector, which is deleting it');
    if (covers(live, stamped)) return { object: live, changed: false };
  }
  const object = await client.apply<T>(type, stamped, fieldManager);
  return { object, changed: object.metadata.resourceVersion !== live?.metadata.resourceVersion };
}
