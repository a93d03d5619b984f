import { readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import path from 'node:path';
import { stateLayout, type StateLayout } from '../controlplane/stateLayout.ts';

/** The node agent's settings, from its environment (set by the supervisor). */
export interface AgentConfig {
  layout: StateLayout;
  /** The repository root. */
  project: string;
  /** Number of virtual nodes. */
  nodes: number;
  /** `nvidia.com/gpu` of each node: a counted number, no hardware behind it. */
  gpus: number;
  podNet: 'auto' | 'namespaces' | 'loopback';
  /** Host address on which NodePorts are bound. */
  nodePortAddress: string;
  /** Where the API server listens on this machine; the Service `kubernetes` leads there. */
  apiserver: { host: string; port: number };
  /** Kubelet serving certificate and the CA that signed the API server's kubelet client. */
  tls: { cert: string; key: string; ca: string };
  capacity: Record<string, string>;
}

/** An environment variable that the agent cannot work with. */
export class AgentConfigError extends Error {
  readonly code = 'AGENT_CONFIG';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'AgentConfigError';
  }
}

/** The common name of the only client that kubelet endpoints answer. */
export const kubeletClientName = 'kube-apiserver-kubelet-client';

/** Addresses of virtual nodes: node n has 10.240.0.n. */
export function nodeAddress(index: number): string {
  return `10.240.0.${index}`;
}

function count(env: NodeJS.ProcessEnv, name: string, fallback: number, max: number): number {
  const text = env[name] ?? '';
  const value = text === '' ? fallback : Number(text);
  if (!Number.isInteger(value) || value < 0 || value > max) throw new AgentConfigError(`${name} is "${text}": want a whole number from 0 to ${max}`);
  return value;
}

export function agentConfig(env: NodeJS.ProcessEnv = process.env): AgentConfig {
  const layout = stateLayout(env);
  const podNet = env['DYNAMO_LABS_PODNET'] ?? 'auto';
  if (podNet !== 'auto' && podNet !== 'namespaces' && podNet !== 'loopback')
    throw new AgentConfigError(`DYNAMO_LABS_PODNET is "${podNet}": want auto, namespaces or loopback`);
  const [host, port] = (env['DYNAMO_LABS_APISERVER'] ?? '').split(':');
  if (host === undefined || host === '' || !(Number(port) > 0))
    throw new AgentConfigError(`DYNAMO_LABS_APISERVER is "${env['DYNAMO_LABS_APISERVER'] ?? ''}": want host:port of the API server`);
  const gpus = count(env, 'DYNAMO_LABS_GPUS', 8, 1024);
  const file = (name: string): string => readFileSync(path.join(layout.pki, name), 'utf8');
  return {
    layout,
    project: path.resolve(import.meta.dirname, '../../..'),
    nodes: Math.max(1, count(env, 'DYNAMO_LABS_NODES', 1, 64)),
    gpus,
    podNet,
    nodePortAddress: env['DYNAMO_LABS_NODEPORT_ADDRESS'] ?? '127.0.0.1',
    apiserver: { host, port: Number(port) },
    tls: { cert: file('node.crt'), key: file('node.key'), ca: file('ca.crt') },
    capacity: {
      // Requests are counted, not enforced, so that manifests written for servers are schedulable on a laptop.
      cpu: String(Math.max(64, availableParallelism())),
      memory: `${Math.max(512 * 1024 ** 2, Math.floor(totalmem() / 1024))}Ki`,
      'ephemeral-storage': `${1024 ** 2}Mi`,
      pods: '110',
      ...(gpus === 0 ? {} : { 'nvidia.com/gpu': String(gpus) }),
    },
  };
}
