import { tmpdir } from 'node:os';
import path from 'node:path';
import { defaultCredentials, KubeClient } from '../../kube/index.ts';
import type { Logger } from '../../observability/index.ts';
import { DiscoveryError, type Discovery } from './discovery.ts';
import { FileDiscovery } from './fileDiscovery.ts';
import { KubernetesDiscovery } from './kubernetesDiscovery.ts';
import { MemoryDiscovery, MemoryStore } from './memoryDiscovery.ts';

export const discoveryBackends = ['kubernetes', 'file', 'mem'] as const;
export type DiscoveryBackend = (typeof discoveryBackends)[number];

/** Opens the discovery plane that `--discovery-backend` / `DYN_DISCOVERY_BACKEND` names. */
export function createDiscovery(backend: string, logger: Logger, env: NodeJS.ProcessEnv = process.env): Discovery {
  if (backend === 'mem') return new MemoryDiscovery(new MemoryStore());
  if (backend === 'file') {
    const root = env['DYN_FILE_KV'] ?? path.join(tmpdir(), 'dynamo_store_kv');
    return new FileDiscovery({ root, ttlMs: 10_000, onBadEntry: (key, why) => logger.warn(`discovery (file): entry ${key} in ${root} is unreadable: ${why}`) });
  }
  if (backend === 'kubernetes') {
    const required = (name: string): string => {
      const value = env[name];
      if (value === undefined || value === '') throw new DiscoveryError('NOT_CONFIGURED', backend, `${name} environment variable not set`);
      return value;
    };
    return new KubernetesDiscovery({
      client: new KubeClient(defaultCredentials(env)),
      podName: required('POD_NAME'),
      podNamespace: env['POD_NAMESPACE'] ?? 'default',
      podUid: required('POD_UID'),
      logger: logger.child('dynamo_runtime::discovery::kube'),
    });
  }
  throw new DiscoveryError('UNKNOWN_BACKEND', backend, `not one of ${discoveryBackends.join(', ')}`);
}
