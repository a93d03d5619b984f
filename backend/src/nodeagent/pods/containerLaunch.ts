import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ConfigSource } from '../env/configSource.ts';
import { containerArgv, containerEnv } from '../env/containerEnv.ts';
import { serviceLinks } from '../env/serviceLinks.ts';
import type { ResolvedImage } from '../images/imageCatalogue.ts';
import type { BindMount, PodSandbox, ProcessSpec } from '../podnet/podNet.ts';
import type { PodVolumes } from '../volumes/podVolumes.ts';
import type { NodeContext } from './nodeContext.ts';
import type { Container, Pod } from './pod.ts';

/** The program of a container as it was started: `exec` and probes run in the same environment and file view. */
export type Launch = Pick<ProcessSpec, 'argv' | 'env' | 'cwd' | 'mounts'>;

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const serviceAccountMount = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Puts together command, environment and mounts. Throws `ContainerConfigError` for what is missing in the cluster. */
export async function prepareLaunch(
  context: NodeContext,
  options: { pod: Pod; container: Container; image: ResolvedImage; sandbox: PodSandbox; volumes: PodVolumes; dir: string },
): Promise<Launch> {
  const { pod, container, image, sandbox, volumes, dir } = options;
  const namespace = pod.metadata.namespace ?? 'default';
  const declared = await containerEnv(pod, container, {
    config: new ConfigSource(context.client, namespace),
    facts: { nodeName: context.nodeName, hostIP: context.hostIP, podIP: sandbox.ip, allocatable: context.allocatable },
    services: serviceLinks(context.services(), namespace, pod.spec.enableServiceLinks ?? true),
  });
  const mounts = [...image.mounts, ...(await volumes.mounts(container, declared))];
  const tokenDir = sandbox.pathOf(serviceAccountMount, mounts);
  const env: Record<string, string> = {
    PATH: [...image.path, defaultPath].join(':'),
    HOME: '/root',
    HOSTNAME: pod.spec.hostname ?? pod.metadata.name,
    ...(container.tty === true ? { TERM: 'xterm' } : {}),
    // Where pods share the machine's file view, the mount path names nothing.
    ...(tokenDir === serviceAccountMount ? {} : { DYNAMO_LABS_SERVICEACCOUNT_DIR: tokenDir }),
    ...image.env,
    ...declared,
  };
  const argv = containerArgv(container, image, env);
  const { hostIp } = sandbox;
  if (hostIp !== undefined) argv.push(...image.loopbackArgs.map((word) => word.replaceAll('${podIP}', hostIp)));
  const cwd = path.resolve('/', container.workingDir ?? image.workingDir);
  return { argv, env, cwd, mounts: [...mounts, ...workingDirMount(cwd, mounts, dir)] };
}

/** A working directory that the machine does not have becomes a folder of the container, as an image would bring it. */
function workingDirMount(cwd: string, mounts: BindMount[], dir: string): BindMount[] {
  const covered = mounts.some((mount) => cwd === mount.target || cwd.startsWith(`${mount.target}/`));
  if (covered || existsSync(cwd)) return [];
  const source = path.join(dir, 'workdir', cwd);
  mkdirSync(source, { recursive: true });
  return [{ source, target: cwd }];
}

/** Kept beside the container's logs so that an agent that takes over can exec into it; 0600, for it holds Secrets. */
export function saveLaunch(dir: string, launch: Launch): void {
  mkdirSync(dir, { recursive: true });
  writeFileSync(path.join(dir, 'launch.json'), JSON.stringify(launch), { mode: 0o600 });
}

export function loadLaunch(dir: string): Launch | undefined {
  const file = path.join(dir, 'launch.json');
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Launch) : undefined;
}
