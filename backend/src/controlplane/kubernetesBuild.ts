import { mkdir, symlink } from 'node:fs/promises';
import path from 'node:path';
import { kubernetesPrograms, kubernetesVersion } from './kubernetesPrograms.ts';
import { goBuild } from './goBuild.ts';
import { projectDir } from './projectPaths.ts';
import type { ProvisionContext } from './provision.ts';

/** Builds assets/kubernetes into one binary with a link for each program: about six minutes on two cores, 3 GB of Go's caches. */
export async function buildKubernetes(dir: string, context: Required<ProvisionContext> & { logFile: string }): Promise<void> {
  await mkdir(dir, { recursive: true });
  await goBuild({
    dir: path.join(projectDir, 'assets', 'kubernetes'),
    package: '.',
    output: path.join(dir, 'k8sbin'),
    ldflags: `-s -w ${versionFlags()}`,
    logFile: context.logFile,
    env: context.env,
    signal: context.signal,
    log: (note) => context.log(`no download: builds once from Go modules (about 6 min): ${note}`),
  });
  for (const name of kubernetesPrograms) await symlink('k8sbin', path.join(dir, name));
}

/** Without these a program says v0.0.0-master, which charts and kubectl's skew check take at its word. */
function versionFlags(): string {
  const [major = '', minor = ''] = kubernetesVersion.slice(1).split('.');
  const values = { gitVersion: kubernetesVersion, gitMajor: major, gitMinor: minor, gitTreeState: 'clean' };
  return ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version']
    .flatMap((module) => Object.entries(values).map(([name, value]) => `-X ${module}.${name}=${value}`))
    .join(' ');
}
