import { constants, accessSync } from 'node:fs';
import path from 'node:path';
import type { StateLayout } from './stateLayout.ts';

export const kubernetesVersion = 'v1.36.3';

const kubernetesPrograms = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubectl'] as const;
export type KubernetesProgram = (typeof kubernetesPrograms)[number];

/** Absolute paths of the programs. */
export type KubernetesBinaries = Record<KubernetesProgram, string>;

/** `linux-x64`, `darwin-arm64`, …: Node's names for platform and architecture. */
export const platformName = `${process.platform}-${process.arch}`;

export function kubernetesCacheDir(layout: StateLayout): string {
  return path.join(layout.cache, 'kubernetes', `${kubernetesVersion}-${platformName}`, 'bin');
}

/** The programs in one folder, or `undefined` if one of them is missing. */
export function binariesIn(dir: string): KubernetesBinaries | undefined {
  try {
    const entries = kubernetesPrograms.map((name) => {
      const file = path.join(dir, name);
      accessSync(file, constants.X_OK);
      return [name, file] as const;
    });
    return Object.fromEntries(entries) as KubernetesBinaries;
  } catch {
    return undefined;
  }
}

/** Finds the Kubernetes programs. */
export async function resolveKubernetes(layout: StateLayout): Promise<KubernetesBinaries> {
  const found = binariesIn(kubernetesCacheDir(layout));
  if (found === undefined) throw new Error(`no Kubernetes programs in ${kubernetesCacheDir(layout)}`);
  return found;
}
