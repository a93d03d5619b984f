import type { Logger } from '../../observability/index.ts';
import type { WorkerArguments } from '../arguments.ts';
import { NixlConnector } from './nixlConnector.ts';
import { transferSettings } from './transferSettings.ts';

/** What a worker's flags and environment ask for; undefined where it is to exchange no KV blocks. */
export function createConnector(options: {
  flags: Pick<WorkerArguments, 'kvTransfer' | 'mode' | 'logStats'>;
  namespace: string;
  instanceId: bigint;
  env: NodeJS.ProcessEnv;
  logger: Logger;
}): NixlConnector | undefined {
  const { flags, namespace, instanceId, env } = options;
  if (flags.kvTransfer === undefined) return undefined;
  const logger = options.logger.child('vllm::nixl_connector');
  const settings = transferSettings({ namespace, instanceId, env, logger });
  const { overlap } = flags.kvTransfer.kv_connector_extra_config;
  const pod = env['POD_NAME'];
  return new NixlConnector({
    mode: flags.mode,
    instanceId,
    settings,
    overlap: overlap === 'always' || (overlap === 'auto' && !settings.listen.some((address) => address.startsWith('unix:'))),
    recompute: flags.kvTransfer.kv_load_failure_policy === 'recompute',
    logStats: flags.logStats,
    logger,
    ...(pod !== undefined && { pod }),
  });
}
