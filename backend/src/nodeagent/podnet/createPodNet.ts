import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import type { StateLayout } from '../../controlplane/stateLayout.ts';
import { NamespacesPodNet } from './namespaces/namespacesPodNet.ts';
import { LoopbackPodNet } from './loopback/loopbackPodNet.ts';
import { podinitPreload, podinitProgram } from './podinit.ts';
import type { PodNet } from './podNet.ts';
import { PodNetError } from './podNetError.ts';
import { probePodNet } from './probePodNet.ts';

export type PodNetMode = 'auto' | 'namespaces' | 'loopback';

export interface PodNetOptions {
  mode: PodNetMode;
  layout: StateLayout;
  /** Seen read-only by every container at the same place, besides the host's programs; default: the repository, this Node, the cache. */
  readOnlyPaths?: readonly string[];
  /** Told why `auto` did not choose namespaces. */
  onFallback?: (reason: string) => void;
}

/** Everything both drivers keep on disk; it also marks their processes. */
export function podNetDir(layout: StateLayout): string {
  return path.join(layout.run, 'podnet');
}

/** Chooses a driver; it is not started yet. `auto` tries namespaces for real and falls back with a reason. */
export async function createPodNet(options: PodNetOptions): Promise<PodNet> {
  if (!existsSync(podinitProgram)) {
    throw new PodNetError('PODNET_UNAVAILABLE', `${podinitProgram} is missing: "node native/podinit/build.mjs" builds it`);
  }
  const repository = path.resolve(import.meta.dirname, '../../../..');
  const readOnlyPaths = (options.readOnlyPaths ?? [repository, path.dirname(process.execPath), options.layout.cache]).filter((place) => existsSync(place));
  const dir = podNetDir(options.layout);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const namespaces = (where: string): PodNet => new NamespacesPodNet({ program: podinitProgram, dir: where, readOnlyPaths });
  if (options.mode === 'namespaces') return namespaces(dir);
  if (options.mode === 'auto') {
    const reason = await probePodNet(namespaces);
    if (reason === undefined) return namespaces(dir);
    options.onFallback?.(reason);
  }
  return new LoopbackPodNet({ program: podinitProgram, preload: podinitPreload, dir });
}
