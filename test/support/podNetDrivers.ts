import path from 'node:path';
import { LoopbackPodNet } from '../../backend/src/nodeagent/podnet/loopback/loopbackPodNet.ts';
import { NamespacesPodNet } from '../../backend/src/nodeagent/podnet/namespaces/namespacesPodNet.ts';
import { podinitPreload, podinitProgram } from '../../backend/src/nodeagent/podnet/podinit.ts';
import type { PodNet } from '../../backend/src/nodeagent/podnet/podNet.ts';

const readOnlyPaths = [path.resolve(import.meta.dirname, '../..'), path.dirname(process.execPath)];

/** A driver without the choice that `createPodNet` makes. */
export function makePodNet(driver: PodNet['driver'], dir: string): PodNet {
  if (driver === 'namespaces') return new NamespacesPodNet({ program: podinitProgram, dir, readOnlyPaths });
  return new LoopbackPodNet({ program: podinitProgram, preload: podinitPreload, dir });
}
