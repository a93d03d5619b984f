import type { BackendFramework, Container, Fragment, ServiceSpec } from '../graphTypes.ts';
import { RenderError } from './renderError.ts';

type Volume = { name: string } & Fragment;
type Mount = { name: string; mountPath: string };

const sharedMemoryVolume = 'shared-memory';
const sharedMemoryPath = '/dev/shm';
const defaultSharedMemorySize = '8Gi';
/** Where a backend keeps compiled kernels, for `useAsCompilationCache` without a mount point. */
const compilationCache: Partial<Record<BackendFramework, string>> = { vllm: '/root/.cache/vllm' };

/** Volumes and mounts of the claims in `volumeMounts`. */
export function claimVolumes(service: ServiceSpec, backend: BackendFramework | undefined): { volumes: Volume[]; mounts: Mount[] } {
  const volumes = new Map<string, Volume>();
  const mounts: Mount[] = [];
  for (const { name, mountPoint, useAsCompilationCache } of service.volumeMounts ?? []) {
    const mountPath = mountPoint ?? (useAsCompilationCache === true && backend !== undefined ? compilationCache[backend] : undefined);
    if (mountPath === undefined) {
      throw new RenderError(
        `volumeMount with useAsCompilationCache=true requires an explicit mountPoint for backend framework "${backend ?? ''}" (claim "${name}")`,
      );
    }
    volumes.set(name, { name, persistentVolumeClaim: { claimName: name } });
    mounts.push({ name, mountPath });
  }
  return { volumes: [...volumes.values()], mounts };
}

/** The memory-backed emptyDir at /dev/shm that every pod gets unless it is disabled or something is mounted there. */
export function sharedMemory(service: ServiceSpec, container: Container): { volumes: Volume[]; mounts: Mount[] } {
  const taken = container.volumeMounts?.some((mount) => mount.mountPath === sharedMemoryPath) === true;
  if (service.sharedMemory?.disabled === true || taken) return { volumes: [], mounts: [] };
  return {
    volumes: [{ name: sharedMemoryVolume, emptyDir: { medium: 'Memory', sizeLimit: service.sharedMemory?.size ?? defaultSharedMemorySize } }],
    mounts: [{ name: sharedMemoryVolume, mountPath: sharedMemoryPath }],
  };
}
