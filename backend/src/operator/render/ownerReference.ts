import type { KubeObject, OwnerReference } from '../../kube/index.ts';

/** Makes `owner` the controller of a child: the garbage collector removes the child with it. */
export function ownerReference(owner: KubeObject, apiVersion: string, kind: string): OwnerReference {
  return { apiVersion, kind, name: owner.metadata.name, uid: owner.metadata.uid ?? '', controller: true, blockOwnerDeletion: true };
}
