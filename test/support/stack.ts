import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtempSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  endSurvivors,
  type ProcessEvent,
  readRecord,
  startLocalStack,
  type LocalStack,
  type StackPart,
  stateLayout,
} from '../../backend/src/controlplane/index.ts';
import { isAlive } from '../../backend/src/controlplane/processIdentity.ts';
import { endPods } from '../../backend/src/nodeagent/podnet/endPods.ts';
import { credentialsFromKubeconfig, KubeClient } from '../../backend/src/kube/index.ts';

const prefix = 'dlt-';

export interface StackOptions {
  /** `controlplane` always runs. Default: controlplane, nodeagent. */
  components?: StackPart[];
  /** Added to the environment of the node agent, the backend and Jupyter. */
  env?: Record<string, string>;
  nodes?: number;
  /** `nvidia.com/gpu` per node. */
  gpus?: number;
  podNet?: 'auto' | 'namespaces' | 'loopback';
}

export interface Stack extends AsyncDisposable {
  /** DYNAMO_LABS_HOME: private, removed by `close()`. */
  readonly home: string;
  readonly kubeconfig: string;
  readonly kube: KubeClient;
  /** The host address (127.x.y.z) on which this stack's NodePorts listen. */
  readonly nodePortAddress: string;
  readonly local: LocalStack;
  /** What happened to the programs since the start. */
  readonly events: readonly ProcessEvent[];
  /** Environment for a program that is to use this stack (`DYNAMO_LABS_HOME`, `KUBECONFIG`, `PATH` with kubectl). */
  readonly env: Record<string, string>;
  /** Runs the real kubectl; `input` goes to its stdin. Ends it after `timeoutMs` (default 60 000; code -1 then). */
  kubectl(args: string[], options?: { input?: string; timeoutMs?: number }): Promise<{ stdout: string; stderr: string; code: number }>;
  /** Standard output of a kubectl that must succeed. */
  kubectlOutput(args: string[], options?: { input?: string; timeoutMs?: number }): Promise<string>;
  close(): Promise<void>;
}

/** Boots a private stack: its own state folder and ports, the shared cache of programs and models. Close it in `afterAll`. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  await sweepAbandoned();
  const home = mkdtempSync(path.join(tmpdir(), prefix));
  const cache = stateLayout().cache;
  const layout = stateLayout({ DYNAMO_LABS_HOME: home, DYNAMO_LABS_CACHE: cache });
  const nodePortAddress = `127.${randomInt(64, 127)}.${randomInt(0, 256)}.${randomInt(1, 255)}`;
  const events: ProcessEvent[] = [];
  const local = await startLocalStack({
    layout,
    parts: options.components ?? ['controlplane', 'nodeagent'],
    env: { DYNAMO_LABS_ENGINE_MODEL: 'tiny', ...options.env },
    nodes: options.nodes ?? 1,
    gpus: options.gpus ?? 8,
    podNet: options.podNet ?? 'auto',
    nodePortAddress,
    throwAway: true,
    onEvent: (event) => events.push(event),
  }).catch(async (error: unknown) => {
    await rm(home, { recursive: true, force: true });
    throw error;
  });
  const kube = new KubeClient(credentialsFromKubeconfig(layout.kubeconfig));
  const env = {
    ...(process.env as Record<string, string>),
    DYNAMO_LABS_HOME: home,
    DYNAMO_LABS_CACHE: cache,
    KUBECONFIG: layout.kubeconfig,
    PATH: [path.dirname(process.execPath), path.dirname(local.binaries.kubectl), process.env['PATH'] ?? ''].join(path.delimiter),
  };
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= (async () => {
      kube.close();
      await local.stop();
      // Nothing, unless the node agent was killed.
      await endPods(layout);
      await rm(layout.sockets, { recursive: true, force: true });
      await rm(home, { recursive: true, force: true });
    })();
    return closing;
  };
  const kubectl: Stack['kubectl'] = (args, run = {}) => capture(local.binaries.kubectl, args, env, run);
  return {
    home,
    kubeconfig: layout.kubeconfig,
    kube,
    nodePortAddress,
    local,
    events,
    env,
    kubectl,
    kubectlOutput: async (args, run) => {
      const { stdout, stderr, code } = await kubectl(args, run);
      if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`);
      return stdout;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function capture(
  program: string,
  args: string[],
  env: Record<string, string>,
  options: { input?: string; timeoutMs?: number },
): Promise<{ stdout: string; stderr: string; code: number }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env, stdio: ['pipe', 'pipe', 'pipe'], timeout: options.timeoutMs ?? 60_000, killSignal: 'SIGKILL' });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.stdin.on('error', () => {
      // kubectl may end before it has read its input; its exit code tells.
    });
    child.once('error', reject);
    child.once('close', (code) =>
      resolve({ stdout: Buffer.concat(stdout).toString('utf8'), stderr: Buffer.concat(stderr).toString('utf8'), code: code ?? -1 }),
    );
    child.stdin.end(options.input ?? '');
  });
}

/** A test run that was killed leaves its stack behind: the next one ends it and removes its folder. */
async function sweepAbandoned(): Promise<void> {
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(prefix)) continue;
    const layout = stateLayout({ DYNAMO_LABS_HOME: path.join(tmpdir(), name) });
    const record = readRecord(layout);
    if (record === undefined || isAlive(record)) continue;
    await endSurvivors(layout);
    await endPods(layout);
    await rm(layout.home, { recursive: true, force: true });
  }
}
