import { type KubeClient, type KubeObject } from '../../kube/index.ts';

export const storageClassesType = { group: 'storage.k8s.io', version: 'v1', plural: 'storageclasses' };

/** The provisioner of this cluster's StorageClasses: folders on this machine. */
export const localProvisioner = 'dynamo-labs.dev/local-dir';

export interface StorageClass extends KubeObject {
  provisioner: string;
  reclaimPolicy?: string;
  mountOptions?: string[];
}

/**
 * `local-dir` is the default class; `nebius-shared-fs` bears the name (and the mount options, which have no effect here) of the
 * shared file system that the original course material asks for.
 */
const classes: StorageClass[] = [
  {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name: 'local-dir', annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
    provisioner: localProvisioner,
    reclaimPolicy: 'Delete',
    volumeBindingMode: 'Immediate',
    allowVolumeExpansion: false,
  },
  {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name: 'nebius-shared-fs' },
    provisioner: localProvisioner,
    reclaimPolicy: 'Retain',
    volumeBindingMode: 'Immediate',
    allowVolumeExpansion: false,
    mountOptions: ['nfsvers=4.1'],
  },
];

export async function ensureStorageClasses(client: KubeClient): Promise<void> {
  for (const item of classes) if ((await client.find(storageClassesType, item.metadata.name)) === undefined) await client.create(storageClassesType, item);
}
