import { execFile } from 'node:child_process';
import { mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { etcdVersion, kubernetesPrograms, kubernetesVersion } from './kubernetesPrograms.ts';
import { DownloadError, downloadFile, downloadText } from './download.ts';
import type { ProvisionContext } from './provision.ts';

const kubernetesSite = 'https://dl.k8s.io';
const etcdSite = 'https://github.com/etcd-io/etcd/releases/download';

/** Go's names for the processor; Kubernetes publishes its server programs for these, and for Linux alone. */
export function goArchitecture(): string | undefined {
  return { x64: 'amd64', arm64: 'arm64' }[process.arch as string];
}

/**
 * Downloads the official programs into `dir`, each checked against its published SHA-256. `DYNAMO_LABS_KUBERNETES_URL` names
 * a mirror with the same paths as dl.k8s.io, `DYNAMO_LABS_ETCD_URL` one of etcd's releases.
 */
export async function downloadKubernetes(dir: string, context: Required<ProvisionContext>): Promise<void> {
  const { signal, log, env } = context;
  const arch = goArchitecture();
  const site = (env['DYNAMO_LABS_KUBERNETES_URL'] ?? kubernetesSite).replace(/\/$/, '');
  if (process.platform !== 'linux' || arch === undefined) throw new DownloadError(site, `has no server programs for ${process.platform}-${process.arch}`);
  await mkdir(dir, { recursive: true });
  const told = (name: string) => (received: number, total: number | undefined) => {
    log(`downloads ${name}: ${Math.round(received / 1e6)}${total === undefined ? '' : ` of ${Math.round(total / 1e6)}`} MB`);
  };
  for (const name of kubernetesPrograms) {
    if (name === 'etcd') continue;
    const url = `${site}/${kubernetesVersion}/bin/linux/${arch}/${name}`;
    log(`downloads ${name}`);
    const sum = (await downloadText(`${url}.sha256`, { signal })).trim().split(/\s+/)[0] ?? '';
    if (!/^[0-9a-f]{64}$/.test(sum)) throw new DownloadError(`${url}.sha256`, 'is no SHA-256 checksum');
    await downloadFile(url, path.join(dir, name), sum, { signal, onBytes: told(name) });
  }
  await downloadEtcd(dir, arch, context, told('etcd'));
}

async function downloadEtcd(
  dir: string,
  arch: string,
  { signal, log, env }: Required<ProvisionContext>,
  onBytes: (received: number, total: number | undefined) => void,
): Promise<void> {
  const site = (env['DYNAMO_LABS_ETCD_URL'] ?? etcdSite).replace(/\/$/, '');
  const folder = `etcd-${etcdVersion}-linux-${arch}`;
  log('downloads etcd');
  const sums = await downloadText(`${site}/${etcdVersion}/SHA256SUMS`, { signal });
  const sum = checksumOf(sums, `${folder}.tar.gz`);
  if (sum === undefined) throw new DownloadError(`${site}/${etcdVersion}/SHA256SUMS`, `does not name ${folder}.tar.gz`);
  const archive = path.join(dir, 'etcd.tar.gz');
  await downloadFile(`${site}/${etcdVersion}/${folder}.tar.gz`, archive, sum, { signal, onBytes });
  await promisify(execFile)('tar', ['-xzf', archive, '-C', dir, `${folder}/etcd`], { signal });
  await rename(path.join(dir, folder, 'etcd'), path.join(dir, 'etcd'));
  await rm(path.join(dir, folder), { recursive: true });
  await rm(archive);
}

/** The digest of one file in the output format of `sha256sum`. */
export function checksumOf(sums: string, file: string): string | undefined {
  for (const line of sums.split('\n')) {
    const match = /^([0-9a-f]{64})\s+\*?(\S+)$/.exec(line.trim());
    if (match?.[2] === file) return match[1];
  }
  return undefined;
}
