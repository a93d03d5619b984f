import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { KubeError, Reflector, type KubeClient, type KubeObject } from '../../kube/index.ts';
import type { Logger } from '../logger.ts';
import { persistentVolumeClaims, persistentVolumes } from '../volumes/claimVolume.ts';
import { localProvisioner, storageClassesType, type StorageClass } from './storageClasses.ts';

interface Claim extends KubeObject {
  spec: { storageClassName?: string; volumeName?: string; accessModes?: string[]; volumeMode?: string; resources?: { requests?: Record<string, string> } };
  status?: { phase?: string };
}

interface Volume extends KubeObject {
  spec: { hostPath?: { path: string }; persistentVolumeReclaimPolicy?: string };
  status?: { phase?: string };
}

const provisionedBy = 'pv.kubernetes.io/provisioned-by';

/**
 * Gives every claim of our StorageClasses a folder below `<home>/volumes` as its PersistentVolume, and removes folder and volume
 * when the claim of a `Delete` volume is gone. Binding itself is kube-controller-manager's. Sizes are recorded, not enforced.
 */
export class ClaimProvisioner {
  readonly #client: KubeClient;
  readonly #dir: string;
  readonly #log: Logger;
  readonly #claims: Reflector<Claim>;
  readonly #volumes: Reflector<Volume>;
  readonly #busy = new Map<string, Promise<void>>();

  constructor(options: { client: KubeClient; home: string; log: Logger }) {
    this.#client = options.client;
    this.#dir = path.join(options.home, 'volumes');
    this.#log = options.log;
    const onError = (error: unknown): void => this.#log.warn('storage', error);
    this.#claims = new Reflector<Claim>({
      client: this.#client,
      type: persistentVolumeClaims,
      onError,
      onChange: (key, claim) => claim !== undefined && this.#once(`claim ${key}`, () => this.#provision(claim)),
    });
    this.#volumes = new Reflector<Volume>({
      client: this.#client,
      type: persistentVolumes,
      onError,
      onChange: (key, volume) => volume !== undefined && this.#once(`volume ${key}`, () => this.#reclaim(volume)),
    });
  }

  async start(): Promise<void> {
    await Promise.all([this.#claims.start().synced, this.#volumes.start().synced]);
  }

  async stop(): Promise<void> {
    await Promise.all([this.#claims.stop(), this.#volumes.stop()]);
    await Promise.all(this.#busy.values());
  }

  /** One task per object at a time; the reflector tells of the next change. */
  #once(key: string, task: () => Promise<void>): void {
    if (this.#busy.has(key)) return;
    const running = task()
      .catch((error: unknown) => this.#log.warn(`storage: ${key}`, error))
      .finally(() => this.#busy.delete(key));
    this.#busy.set(key, running);
  }

  async #provision(claim: Claim): Promise<void> {
    const { spec, metadata } = claim;
    if ((spec.volumeName ?? '') !== '' || metadata.deletionTimestamp !== undefined || (spec.storageClassName ?? '') === '') return;
    const storageClass = await this.#client.find<StorageClass>(storageClassesType, spec.storageClassName!);
    if (storageClass?.provisioner !== localProvisioner) return;
    const name = `pvc-${metadata.uid}`;
    const folder = path.join(this.#dir, name);
    await mkdir(folder, { recursive: true, mode: 0o777 });
    const volume: KubeObject = {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name, annotations: { [provisionedBy]: localProvisioner } },
      spec: {
        accessModes: spec.accessModes ?? ['ReadWriteOnce'],
        capacity: { storage: spec.resources?.requests?.['storage'] ?? '1Gi' },
        claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace: metadata.namespace, name: metadata.name, uid: metadata.uid },
        hostPath: { path: folder, type: 'DirectoryOrCreate' },
        persistentVolumeReclaimPolicy: storageClass.reclaimPolicy ?? 'Delete',
        storageClassName: spec.storageClassName,
        ...(storageClass.mountOptions === undefined ? {} : { mountOptions: storageClass.mountOptions }),
        volumeMode: spec.volumeMode ?? 'Filesystem',
      },
    };
    await this.#client.create(persistentVolumes, volume).catch((error: unknown) => {
      if (!(error instanceof KubeError && error.reason === 'AlreadyExists')) throw error;
    });
  }

  async #reclaim(volume: Volume): Promise<void> {
    const { metadata, spec, status } = volume;
    if (metadata.annotations?.[provisionedBy] !== localProvisioner || status?.phase !== 'Released' || spec.persistentVolumeReclaimPolicy !== 'Delete') return;
    await this.#client.delete(persistentVolumes, metadata.name);
    const folder = spec.hostPath?.path;
    if (folder !== undefined && path.dirname(folder) === this.#dir) await rm(folder, { recursive: true, force: true });
  }
}
