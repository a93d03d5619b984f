import type { KubeClient, KubeObject } from '../../kube/index.ts';
import { VolumeError } from './volumeError.ts';

export const persistentVolumeClaims = { group: '', version: 'v1', plural: 'persistentvolumeclaims' };
export const persistentVolumes = { group: '', version: 'v1', plural: 'persistentvolumes' };

/** The hostPath behind a claim; fails while the claim is not bound or its volume is of another kind. */
export async function claimHostPath(client: KubeClient, namespace: string, claimName: string): Promise<{ path: string; type?: string }> {
  const claim = await client.find<KubeObject & { spec?: { volumeName?: string }; status?: { phase?: string } }>(persistentVolumeClaims, claimName, namespace);
  if (claim === undefined) throw new VolumeError(`persistentvolumeclaim "${claimName}" not found`);
  const name = claim.spec?.volumeName;
  if (claim.status?.phase !== 'Bound' || name === undefined)
    throw new VolumeError(
      `PVC ${namespace}/${claimName} has non-bound phase ("${claim.status?.phase ?? 'Pending'}") or empty pvc.Spec.VolumeName ("${name ?? ''}")`,
    );
  const volume = await client.find<KubeObject & { spec?: { hostPath?: { path: string; type?: string }; local?: { path: string } } }>(persistentVolumes, name);
  const source = volume?.spec?.hostPath ?? volume?.spec?.local;
  if (source === undefined)
    throw new VolumeError(volume === undefined ? `persistentvolume "${name}" not found` : `persistentvolume "${name}" is neither hostPath nor local`);
  return source;
}
