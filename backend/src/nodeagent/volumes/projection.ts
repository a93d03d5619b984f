import type { ConfigSource } from '../env/configSource.ts';
import { podField, resourceField, type NodeFacts } from '../env/fieldPath.ts';
import type { DownwardItem, KeyToPath, Pod, ProjectedSource, Volume } from '../pods/pod.ts';
import type { ProjectedFile } from './atomicFiles.ts';
import { VolumeError } from './volumeError.ts';

export interface ProjectionContext {
  pod: Pod;
  config: ConfigSource;
  facts: NodeFacts;
  /** A bound ServiceAccount token of the pod (TokenRequest). */
  token(request: { audience?: string; expirationSeconds: number }): Promise<string>;
}

/** The files of a configMap, secret, downwardAPI or projected volume; undefined for any other kind. */
export async function projectVolume(volume: Volume, context: ProjectionContext): Promise<Map<string, ProjectedFile> | undefined> {
  const { configMap, secret, downwardAPI, projected } = volume;
  const files = new Map<string, ProjectedFile>();
  if (configMap !== undefined) await addKeys(files, 'configmap', configMap, configMap.defaultMode ?? 0o644, context);
  else if (secret !== undefined) await addKeys(files, 'secret', { ...secret, name: secret.secretName }, secret.defaultMode ?? 0o644, context);
  else if (downwardAPI !== undefined) addFields(files, downwardAPI.items ?? [], downwardAPI.defaultMode ?? 0o644, context);
  else if (projected !== undefined) {
    for (const source of projected.sources ?? []) await addSource(files, source, projected.defaultMode ?? 0o644, context);
  } else return undefined;
  return files;
}

async function addSource(files: Map<string, ProjectedFile>, source: ProjectedSource, mode: number, context: ProjectionContext): Promise<void> {
  if (source.configMap !== undefined) await addKeys(files, 'configmap', source.configMap, mode, context);
  if (source.secret !== undefined) await addKeys(files, 'secret', source.secret, mode, context);
  if (source.downwardAPI !== undefined) addFields(files, source.downwardAPI.items ?? [], mode, context);
  if (source.serviceAccountToken !== undefined) {
    const { path, audience, expirationSeconds } = source.serviceAccountToken;
    const token = await context.token({ ...(audience === undefined ? {} : { audience }), expirationSeconds: expirationSeconds ?? 3600 });
    files.set(path, { data: Buffer.from(token), mode: 0o600 });
  }
}

async function addKeys(
  files: Map<string, ProjectedFile>,
  kind: 'secret' | 'configmap',
  source: { name: string; optional?: boolean; items?: KeyToPath[] },
  mode: number,
  context: ProjectionContext,
): Promise<void> {
  const data = await context.config.data(kind, source.name, source.optional);
  if (data === undefined) return;
  if (source.items === undefined || source.items.length === 0) {
    for (const [key, value] of data) files.set(key, { data: value, mode });
    return;
  }
  for (const item of source.items) {
    const value = data.get(item.key);
    if (value !== undefined) files.set(item.path, { data: value, mode: item.mode ?? mode });
    else if (source.optional !== true)
      throw new VolumeError(kind === 'secret' ? 'references non-existent secret key: ' + item.key : 'references non-existent config key: ' + item.key);
  }
}

function addFields(files: Map<string, ProjectedFile>, items: DownwardItem[], mode: number, { pod, facts }: ProjectionContext): void {
  for (const item of items) {
    const text =
      item.fieldRef !== undefined
        ? podField(pod, item.fieldRef.fieldPath, facts)
        : item.resourceFieldRef !== undefined
          ? resourceField(pod, pod.spec.containers[0]!, item.resourceFieldRef, facts)
          : '';
    files.set(item.path, { data: Buffer.from(text), mode: item.mode ?? mode });
  }
}
