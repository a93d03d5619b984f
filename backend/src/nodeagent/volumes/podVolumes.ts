import { chmod, mkdir, realpath, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { KubeClient } from '../../kube/index.ts';
import { ConfigSource, ContainerConfigError } from '../env/configSource.ts';
import { expandReferences } from '../env/expansion.ts';
import type { NodeFacts } from '../env/fieldPath.ts';
import type { Container, Pod, Volume } from '../pods/pod.ts';
import type { BindMount } from '../podnet/podNet.ts';
import { writeFilesAtomically } from './atomicFiles.ts';
import { claimHostPath } from './claimVolume.ts';
import { resolveHostPath } from './hostPathVolume.ts';
import { memoryVolumesDir } from './memoryVolumes.ts';
import { projectVolume } from './projection.ts';
import type { ServiceAccountTokens } from './serviceAccountToken.ts';
import { VolumeError } from './volumeError.ts';

export interface PodVolumesOptions {
  client: KubeClient;
  tokens: ServiceAccountTokens;
  /** The state folder: hostPath volumes live below it. */
  home: string;
  /** The pod's own folder. */
  dir: string;
  facts: NodeFacts;
}

/** The volumes of one pod: folders on this machine that its containers see at their mount paths. */
export class PodVolumes {
  readonly #options: PodVolumesOptions;
  /** Volume name → its folder or file on the host. */
  readonly #sources = new Map<string, string>();

  constructor(options: PodVolumesOptions) {
    this.#options = options;
  }

  /** Makes every volume of the pod. Fails with `VolumeError` (the kubelet's FailedMount text) at the first that cannot be. */
  async setUp(pod: Pod): Promise<void> {
    for (const volume of pod.spec.volumes ?? []) {
      const source = await this.#setUpOne(pod, volume).catch((error: unknown) => {
        const text = error instanceof VolumeError || error instanceof ContainerConfigError ? error.message : String((error as Error).message);
        throw new VolumeError(`MountVolume.SetUp failed for volume "${volume.name}" : ${text}`, { cause: error });
      });
      this.#sources.set(volume.name, source);
    }
  }

  /** Brings configMap, secret and projected volumes up to date; a source that is gone keeps its last content. */
  async refresh(pod: Pod): Promise<void> {
    for (const volume of pod.spec.volumes ?? []) if (this.#sources.has(volume.name)) await this.#project(pod, volume).catch(() => undefined);
  }

  async #setUpOne(pod: Pod, volume: Volume): Promise<string> {
    const namespace = pod.metadata.namespace ?? 'default';
    if (volume.emptyDir !== undefined) return this.#emptyDir(volume);
    if (volume.hostPath !== undefined) return resolveHostPath(volume.hostPath, this.#options.home);
    if (volume.persistentVolumeClaim !== undefined) {
      return resolveHostPath(await claimHostPath(this.#options.client, namespace, volume.persistentVolumeClaim.claimName), this.#options.home);
    }
    const projected = await this.#project(pod, volume);
    if (projected !== undefined) return projected;
    const kind = Object.keys(volume).find((key) => key !== 'name');
    throw new VolumeError(`no volume plugin matched: volumes of kind ${kind ?? 'unknown'} are not available on this node`);
  }

  async #emptyDir(volume: Volume): Promise<string> {
    const dir = path.join(volume.emptyDir?.medium === 'Memory' ? this.#memoryDir : path.join(this.#options.dir, 'volumes'), volume.name);
    await mkdir(dir, { recursive: true });
    await chmod(dir, 0o777);
    return dir;
  }

  get #memoryDir(): string {
    return path.join(memoryVolumesDir(this.#options.home), path.basename(this.#options.dir));
  }

  async #project(pod: Pod, volume: Volume): Promise<string | undefined> {
    const { client, tokens, facts } = this.#options;
    const files = await projectVolume(volume, {
      pod,
      facts,
      config: new ConfigSource(client, pod.metadata.namespace ?? 'default'),
      token: (request) => tokens.token(pod, request),
    });
    if (files === undefined) return undefined;
    const dir = path.join(this.#options.dir, 'volumes', volume.name);
    await writeFilesAtomically(dir, files);
    return dir;
  }

  /** The mounts of a container, in the order of their paths so that an inner mount comes after its outer one. */
  async mounts(container: Container, env: Record<string, string>): Promise<BindMount[]> {
    const mounts: BindMount[] = [];
    for (const mount of container.volumeMounts ?? []) {
      const root = this.#sources.get(mount.name);
      if (root === undefined) throw new ContainerConfigError(`volume "${mount.name}" of container "${container.name}" is not set up`);
      const subPath = mount.subPathExpr === undefined ? mount.subPath : expandReferences(mount.subPathExpr, (name) => env[name]);
      const source = subPath === undefined || subPath === '' ? root : await resolveSubPath(root, subPath, container.name);
      mounts.push({ source, target: path.resolve('/', mount.mountPath), ...(mount.readOnly === true ? { readOnly: true } : {}) });
    }
    return mounts.toSorted((a, b) => a.target.length - b.target.length);
  }

  async tearDown(uid: string): Promise<void> {
    this.#options.tokens.forget(uid);
    await rm(this.#memoryDir, { recursive: true, force: true });
    await rm(path.join(this.#options.dir, 'volumes'), { recursive: true, force: true });
    this.#sources.clear();
  }
}

/** The place of a subPath below its volume; it is made when missing and may not lead outside through links. */
async function resolveSubPath(root: string, subPath: string, container: string): Promise<string> {
  const wanted = path.join(root, subPath);
  const bad = (): ContainerConfigError =>
    new ContainerConfigError(`failed to prepare subPath for volumeMount of container "${container}": "${subPath}" leads outside of its volume`);
  if (path.isAbsolute(subPath) || path.relative(root, wanted).startsWith('..')) throw bad();
  if ((await stat(wanted).catch(() => undefined)) === undefined) await mkdir(wanted, { recursive: true });
  const [real, realRoot] = [await realpath(wanted), await realpath(root)];
  if (real !== realRoot && !real.startsWith(`${realRoot}${path.sep}`)) throw bad();
  return real;
}
