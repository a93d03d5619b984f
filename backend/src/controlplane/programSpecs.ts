import { readFileSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import path from 'node:path';
import { componentKubeconfig } from './controlPlaneSpecs.ts';
import type { ProcessSpec } from './processSpec.ts';
import { nodeArgv, projectDir, pythonBin } from './projectPaths.ts';
import { fileProbe } from './probes.ts';
import type { StateLayout } from './stateLayout.ts';

export interface NodeAgentOptions {
  layout: StateLayout;
  apiserverPort: number;
  nodes: number;
  gpus: number;
  nodePortAddress: string;
  podNet: 'auto' | 'namespaces' | 'loopback';
  env: Record<string, string>;
}

/** Environment of our own programs: the user's, with our node, kubectl and Python first, and never the user's KUBECONFIG. */
export function programEnv(layout: StateLayout, kubectl: string, kubeconfig: string, extra: Record<string, string>): Record<string, string> {
  const inherited = Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const dirs = [path.dirname(process.execPath), path.dirname(kubectl), pythonBin, process.env['PATH'] ?? ''];
  return {
    ...Object.fromEntries(inherited),
    ...extra,
    PATH: dirs.join(path.delimiter),
    DYNAMO_LABS_HOME: layout.home,
    DYNAMO_LABS_CACHE: layout.cache,
    // Compiled code of an earlier start: a fifth less processor time to load.
    NODE_COMPILE_CACHE: path.join(layout.cache, 'node-compile'),
    KUBECONFIG: kubeconfig,
  };
}

export function nodeAgentSpec(options: NodeAgentOptions, kubectl: string): ProcessSpec {
  const { layout } = options;
  const ready = path.join(layout.run, 'node-agent.json');
  return {
    name: 'node-agent',
    argv: nodeArgv('backend/src/nodeagent/main.ts'),
    env: {
      ...programEnv(layout, kubectl, componentKubeconfig(layout, 'node-client'), options.env),
      DYNAMO_LABS_NODES: String(options.nodes),
      DYNAMO_LABS_GPUS: String(options.gpus),
      DYNAMO_LABS_NODEPORT_ADDRESS: options.nodePortAddress,
      DYNAMO_LABS_PODNET: options.podNet,
      DYNAMO_LABS_APISERVER: `127.0.0.1:${options.apiserverPort}`,
    },
    cwd: projectDir,
    logFile: path.join(layout.logs, 'node-agent.log'),
    ports: [],
    stage: 3,
    prepare: async () => rmSync(ready, { force: true }),
    probe: fileProbe(ready),
    readyTimeoutMs: 60_000,
    // Ends every pod within its grace period (30 s unless a pod says more).
    stopTimeoutMs: 45_000,
  };
}

export function backendSpec(layout: StateLayout, kubectl: string, env: Record<string, string>): ProcessSpec {
  const ready = path.join(layout.run, 'backend.json');
  return {
    name: 'backend',
    argv: nodeArgv('backend/src/api/main.ts'),
    env: programEnv(layout, kubectl, layout.kubeconfig, env),
    cwd: projectDir,
    logFile: path.join(layout.logs, 'backend.log'),
    ports: [],
    stage: 4,
    prepare: async () => rmSync(ready, { force: true }),
    probe: async (signal) => {
      await fileProbe(ready)(signal);
      await connects((JSON.parse(readFileSync(ready, 'utf8')) as { socket: string }).socket);
    },
    readyTimeoutMs: 60_000,
    stopTimeoutMs: 10_000,
  };
}

function connects(socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(socketPath, () => {
      socket.destroy();
      resolve();
    });
    socket.once('error', reject);
  });
}
