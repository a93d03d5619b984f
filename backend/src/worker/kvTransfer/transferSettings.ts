import { rmSync } from 'node:fs';
import path from 'node:path';
import { isIP, isIPv6 } from 'node:net';
import type { Logger } from '../../observability/index.ts';
import { float, fromEnv, integer } from '../../runtime/commandLine.ts';
import type { Fault, TransportName } from '../../transfer/index.ts';
import { transferFaults } from './transferFaults.ts';
import { transferToken } from './transferToken.ts';

/** What the environment says about KV transfer. */
export interface TransferSettings {
  listen: string[];
  token: string;
  /** A grant ends so long after it was given or last used. */
  leaseMs: number;
  /** A read is over by then. */
  readMs: number;
  /** In order of preference; undefined for the transfer engine's own. */
  transports: TransportName[] | undefined;
  faults: { enable: true; seed: number; plan: Fault[] } | undefined;
}

/** Longest path that a Unix socket's address holds. */
const socketPathBytes = 107;
const known: readonly TransportName[] = ['shm', 'uds', 'tcp'];

/** vLLM's default of `VLLM_NIXL_ABORT_REQUEST_TIMEOUT`, in seconds. */
const defaultLeaseSeconds = 120;

/** Throws `CommandLineExit` under the variable's name for what cannot be read. */
export function transferSettings(options: { namespace: string; instanceId: bigint; env: NodeJS.ProcessEnv; logger: Logger }): TransferSettings {
  const { namespace, instanceId, env, logger } = options;
  const seconds = (name: string, fallback: number): number => fromEnv(env, name, float(0.001, 86_400), fallback);
  const lease = seconds('DYNAMO_LABS_KV_LEASE_SECONDS', seconds('VLLM_NIXL_ABORT_REQUEST_TIMEOUT', defaultLeaseSeconds));
  const faults = transferFaults(env);
  const { token, source } = transferToken(namespace, env);
  logger.info(`KV transfer token from ${source}`);
  return {
    listen: addresses(instanceId, env, logger, faults !== undefined),
    token,
    leaseMs: Math.round(lease * 1000),
    readMs: Math.round(seconds('DYNAMO_LABS_KV_READ_SECONDS', lease) * 1000),
    transports: fromEnv(env, 'DYNAMO_LABS_TRANSFER_TRANSPORTS', transportList, undefined),
    faults,
  };
}

function addresses(instanceId: bigint, env: NodeJS.ProcessEnv, logger: Logger, faults: boolean): string[] {
  const found: string[] = [];
  const folder = env['DYNAMO_LABS_TRANSFER_DIR'];
  if (folder !== undefined && folder !== '') {
    const socket = path.join(folder, `${instanceId}.sock`);
    if (Buffer.byteLength(socket) <= socketPathBytes) {
      rmSync(socket, { force: true }); // of a process of this name that was killed
      found.push(`unix:${socket}`);
    } else
      logger.warn(`KV transfer: no shared memory, since the path of a socket in DYNAMO_LABS_TRANSFER_DIR would be longer than ${socketPathBytes} bytes`, {
        socket,
      });
  }
  // vLLM's default for the first is a name, localhost.
  const host = [env['VLLM_NIXL_SIDE_CHANNEL_HOST'], env['POD_IP']].find((one) => one !== undefined && isIP(one) !== 0) ?? '127.0.0.1';
  const port = fromEnv(env, 'VLLM_NIXL_SIDE_CHANNEL_PORT', integer(0), 0);
  if (faults && !/^(127\.|::1$)/.test(host)) logger.warn(`KV transfer: faults are injected on loopback only, so this worker does not listen on ${host}`);
  else found.push(`tcp:${isIPv6(host) ? `[${host}]` : host}:${port}`);
  return found;
}

function transportList(text: string): TransportName[] {
  return text.split(',').map((word) => {
    const name = known.find((one) => one === word.trim());
    if (name === undefined) throw new TypeError(`invalid choice: '${word.trim()}' (choose from ${known.join(', ')})`);
    return name;
  });
}
