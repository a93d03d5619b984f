import { execFile } from 'node:child_process';
import { copyFile, mkdir, rename, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { platformName } from './kubernetesPrograms.ts';
import { DownloadError, downloadFile, downloadText } from './download.ts';
import { goBuild } from './goBuild.ts';
import { checksumOf, goArchitecture } from './kubernetesRelease.ts';
import { findOnPath, programVersion, versionWithin } from './programVersion.ts';
import { projectDir } from './projectPaths.ts';
import { provision, type ProvisionContext } from './provision.ts';
import type { StateLayout } from './stateLayout.ts';

const natsVersion = 'v2.12.2';
const natsSite = 'https://github.com/nats-io/nats-server/releases/download';

/**
 * `<cache>/nats/bin/nats-server`, where the image catalogue looks for it: from the PATH (2.10 or newer; copied, because pods
 * see only the cache), the official release (`DYNAMO_LABS_NATS_URL` names a mirror), or built from its Go module.
 */
export async function resolveNats(layout: StateLayout, context: ProvisionContext): Promise<string> {
  const { signal, log } = context;
  const env = context.env ?? process.env;
  const dir = path.join(layout.cache, 'nats', 'bin');
  const file = path.join(dir, 'nats-server');
  if (existsSync(file)) return file;
  await provision({
    what: `nats-server ${natsVersion}`,
    dir,
    ways: [
      { name: 'PATH', fill: (target) => copyFromPath(path.join(target, 'nats-server'), env, signal) },
      { name: 'download', fill: (target) => downloadNats(target, { signal, log, env }) },
      {
        name: 'build',
        fill: (target) =>
          goBuild({
            dir: path.join(projectDir, 'assets', 'nats'),
            package: 'github.com/nats-io/nats-server/v2',
            output: path.join(target, 'nats-server'),
            ldflags: '-s -w',
            logFile: path.join(layout.cache, 'nats', 'build.log'),
            env,
            signal,
            log: (note) => log(`no download: builds once from Go modules: ${note}`),
          }),
      },
    ],
    context: { signal, log, env },
  });
  return file;
}

async function copyFromPath(target: string, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<void> {
  const found = findOnPath('nats-server', env['PATH'] ?? '');
  if (found === undefined) throw new Error('no nats-server');
  const version = await programVersion(found, ['--version'], signal);
  if (version === undefined || !versionWithin(version, '2.10.0', '3'))
    throw new Error(`${found} is ${version ?? 'of unknown version'}, 2.10 or newer is needed`);
  await copyFile(found, target);
}

async function downloadNats(dir: string, { signal, log, env }: Required<ProvisionContext>): Promise<void> {
  const site = `${(env['DYNAMO_LABS_NATS_URL'] ?? natsSite).replace(/\/$/, '')}/${natsVersion}`;
  const arch = goArchitecture();
  if (arch === undefined) throw new DownloadError(site, `has no program for ${platformName}`);
  const folder = `nats-server-${natsVersion}-${process.platform}-${arch}`;
  log('downloads nats-server');
  const sum = checksumOf(await downloadText(`${site}/SHA256SUMS`, { signal }), `${folder}.tar.gz`);
  if (sum === undefined) throw new DownloadError(`${site}/SHA256SUMS`, `does not name ${folder}.tar.gz`);
  const archive = path.join(dir, 'nats.tar.gz');
  await mkdir(dir, { recursive: true });
  await downloadFile(`${site}/${folder}.tar.gz`, archive, sum, { signal });
  await promisify(execFile)('tar', ['-xzf', archive, '-C', dir, `${folder}/nats-server`], { signal });
  await rename(path.join(dir, folder, 'nats-server'), path.join(dir, 'nats-server'));
  await rm(path.join(dir, folder), { recursive: true });
  await rm(archive);
}
