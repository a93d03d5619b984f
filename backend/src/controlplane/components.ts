import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import { buildKubernetes } from './kubernetesBuild.ts';
import { downloadKubernetes } from './kubernetesRelease.ts';
import { type KubernetesBinaries, type KubernetesProgram, kubernetesPrograms, kubernetesVersion, platformName } from './kubernetesPrograms.ts';
import { findOnPath, programVersion, versionWithin } from './programVersion.ts';
import { provision, type ProvisionContext } from './provision.ts';
import type { StateLayout } from './stateLayout.ts';

/**
 * Finds the Kubernetes programs: `KUBEBUILDER_ASSETS`, then `PATH` (all five, of a fitting version), then the cache; else
 * the official release is downloaded into the cache, else they are built there from Go modules.
 *
 * @throws {ProvisionError} when nothing of that worked.
 */
export async function resolveKubernetes(layout: StateLayout, context?: Partial<ProvisionContext>): Promise<KubernetesBinaries> {
  const signal = context?.signal ?? AbortSignal.timeout(60 * 60_000);
  const log = context?.log ?? (() => {});
  const env = context?.env ?? process.env;
  const assets = env['KUBEBUILDER_ASSETS'];
  const elsewhere = [...(assets === undefined || assets === '' ? [] : [binariesIn(assets)]), completeSet((name) => findOnPath(name, env['PATH'] ?? ''))];
  for (const found of elsewhere) if (found !== undefined && (await versionsFit(found, signal))) return found;
  const dir = path.join(layout.cache, 'kubernetes', `${kubernetesVersion}-${platformName}`);
  const cached = binariesIn(path.join(dir, 'bin'));
  if (cached !== undefined) return cached;
  await provision({
    what: `Kubernetes ${kubernetesVersion}`,
    dir,
    ways: [
      { name: 'download', fill: (target) => downloadKubernetes(path.join(target, 'bin'), { signal, log, env }) },
      {
        name: 'build',
        fill: (target) => buildKubernetes(path.join(target, 'bin'), { signal, log, env, logFile: path.join(layout.cache, 'kubernetes', 'build.log') }),
      },
    ],
    context: { signal, log, env },
  });
  const made = binariesIn(path.join(dir, 'bin'));
  if (made === undefined) throw new Error(`${dir} is incomplete: remove it and try again`);
  return made;
}

/** The programs in one folder, or `undefined` if one of them is missing. */
export function binariesIn(dir: string): KubernetesBinaries | undefined {
  return completeSet((name) => {
    const file = path.join(dir, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      return undefined;
    }
  });
}

function completeSet(find: (name: KubernetesProgram) => string | undefined): KubernetesBinaries | undefined {
  const entries: [KubernetesProgram, string][] = [];
  for (const name of kubernetesPrograms) {
    const file = find(name);
    if (file === undefined) return undefined;
    entries.push([name, file]);
  }
  return Object.fromEntries(entries) as KubernetesBinaries;
}

async function versionsFit(binaries: KubernetesBinaries, signal: AbortSignal): Promise<boolean> {
  const fits = await Promise.all(
    kubernetesPrograms.map(async (name) => {
      const version = await programVersion(binaries[name], name === 'kubectl' ? ['version', '--client'] : ['--version'], signal);
      return version !== undefined && (name === 'etcd' ? versionWithin(version, '3.5.21', '3.7') : versionWithin(version, '1.36.3', '1.37'));
    }),
  );
  return fits.every(Boolean);
}
