import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { credentialsFromKubeconfig, KubeClient } from '../kube/index.ts';
import { type KubernetesBinaries, resolveKubernetes } from './components.ts';
import { componentKubeconfig, controlPlaneSpecs, egressConfig, egressConfigFile } from './controlPlaneSpecs.ts';
import { freePort } from './freePort.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import { applyKubernetesEndpoints } from './kubernetesEndpoints.ts';
import type { ProcessEvent } from './managedProcess.ts';
import { ensurePki } from './pki.ts';
import { applyManifests, waitForDeployment, waitForNodes } from './platform.ts';
import { writePrivateFile } from './privateFile.ts';
import { backendSpec, nodeAgentSpec } from './programSpecs.ts';
import { projectDir } from './projectPaths.ts';
import { ensureStackFolders } from './stackFolders.ts';
import { acquireStackLock } from './stackLock.ts';
import type { StateLayout } from './stateLayout.ts';
import { Supervisor } from './supervisor.ts';
import { endSurvivors, removeSockets } from './survivors.ts';

/** `controlplane` always runs; `operator` needs `nodeagent`. */
export type StackPart = 'controlplane' | 'nodeagent' | 'operator' | 'backend' | 'jupyter';

export interface LocalStackOptions {
  layout: StateLayout;
  parts: readonly StackPart[];
  /** Added to the environment of our own programs. */
  env?: Record<string, string>;
  nodes?: number;
  /** `nvidia.com/gpu` per node. */
  gpus?: number;
  /** Host address on which NodePorts are bound. */
  nodePortAddress?: string;
  podNet?: 'auto' | 'namespaces' | 'loopback';
  /** The data lives as long as this stack: etcd does not fsync. */
  throwAway?: boolean;
  onStep?: (step: StackStep) => void;
  onEvent?: (event: ProcessEvent) => void;
  signal?: AbortSignal;
}

/** One line of progress. */
export type StackStep = { type: 'begin'; step: string; waitsFor: string } | { type: 'end'; step: string; ms: number; result?: string };

export interface LocalStack {
  readonly supervisor: Supervisor;
  readonly binaries: KubernetesBinaries;
  /** `https://127.0.0.1:<port>` */
  readonly server: string;
  readonly kubeconfig: string;
  readonly url?: string;
  stop(): Promise<void>;
}

/**
 * Starts a stack on a state folder. When anything fails, what was started is stopped again before the error is thrown.
 * Throws `StackRunningError` when one already runs there.
 */
export async function startLocalStack(options: LocalStackOptions): Promise<LocalStack> {
  const { layout } = options;
  await ensureStackFolders(layout);
  const release = acquireStackLock(layout);
  let supervisor: Supervisor | undefined;
  const stop = async (): Promise<void> => {
    await supervisor?.stop();
    await removeSockets(layout);
    release();
  };
  try {
    await timed(
      options,
      'leftovers of an earlier run',
      'their end',
      async () => {
        const ended = await endSurvivors(layout);
        return ended.length === 0 ? undefined : `ended ${ended.join(', ')}`;
      },
      true,
    );
    await removeSockets(layout);
    supervisor = new Supervisor({ layout, ...(options.onEvent && { onEvent: options.onEvent }) });
    return { ...(await startParts(options, supervisor)), supervisor, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startParts(options: LocalStackOptions, supervisor: Supervisor): Promise<Omit<LocalStack, 'supervisor' | 'stop'>> {
  const { layout } = options;
  const signal = AbortSignal.any([supervisor.signal, ...(options.signal === undefined ? [] : [options.signal])]);
  const binaries = await timed(options, 'Kubernetes programs', 'a search, a download or a build', () => resolveKubernetes(layout), true);
  const ports = { etcd: await freePort(), apiserver: await freePort(16443) };
  const server = `https://127.0.0.1:${ports.apiserver}`;
  await timed(
    options,
    'certificates',
    'keys',
    async () => {
      await ensurePki(layout.pki);
      for (const user of ['kube-controller-manager', 'kube-scheduler', 'node-client']) {
        await writeKubeconfig({ file: componentKubeconfig(layout, user), server, pki: layout.pki, user });
      }
      await writeKubeconfig({ file: layout.kubeconfig, server, pki: layout.pki, user: 'admin' });
      await writePrivateFile(egressConfigFile(layout), egressConfig(layout));
      return undefined;
    },
    true,
  );
  const specs = controlPlaneSpecs({ layout, binaries, ports, throwAway: options.throwAway === true });
  await timed(options, 'control plane', 'etcd and kube-apiserver', async () => {
    await supervisor.run(specs.etcd, signal);
    await supervisor.run(specs.apiserver, signal);
    return server;
  });
  const kube = new KubeClient(credentialsFromKubeconfig(layout.kubeconfig));
  const has = (part: StackPart): boolean => options.parts.includes(part);
  try {
    await Promise.all([supervisor.run(specs.controllers, signal), supervisor.run(specs.scheduler, signal), applyKubernetesEndpoints(kube, ports.apiserver)]);
    const crds = applyManifests(binaries.kubectl, layout.kubeconfig, path.join(projectDir, 'assets', 'crds'), signal);
    const agent = has('nodeagent')
      ? timed(options, 'nodes', 'the node agent and its nodes', async () => {
          const spec = nodeAgentSpec(
            {
              layout,
              apiserverPort: ports.apiserver,
              nodes: options.nodes ?? 1,
              gpus: options.gpus ?? 8,
              nodePortAddress: options.nodePortAddress ?? '127.0.0.1',
              podNet: options.podNet ?? 'auto',
              env: options.env ?? {},
            },
            binaries.kubectl,
          );
          await supervisor.run(spec, signal);
          return waitForNodes(kube, options.nodes ?? 1, signal);
        })
      : undefined;
    const backend = has('backend')
      ? timed(options, 'backend', 'its socket', async () => {
          await supervisor.run(backendSpec(layout, binaries.kubectl, options.env ?? {}), signal);
          return undefined;
        })
      : undefined;
    const account = timed(options, 'controllers', 'the default ServiceAccount', () => waitForServiceAccount(kube, signal), true);
    const operator = has('operator')
      ? timed(options, 'operator', 'its Deployment', async () => {
          await Promise.all([crds, account]);
          await applyManifests(binaries.kubectl, layout.kubeconfig, path.join(projectDir, 'assets', 'platform'), signal);
          await agent;
          return waitForDeployment(kube, 'dynamo-system', 'dynamo-platform-dynamo-operator-controller-manager', signal);
        })
      : undefined;
    await all([crds, agent, backend, account, operator]);
  } finally {
    kube.close();
  }
  supervisor.publish({ ready: true });
  return { binaries, server, kubeconfig: layout.kubeconfig };
}

/** Waits for all, even after a failure, so that nothing goes on in the background; throws the first. */
async function all(tasks: (Promise<unknown> | undefined)[]): Promise<void> {
  const results = await Promise.allSettled(tasks);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

/** Pods cannot be made in a namespace before its default ServiceAccount exists. */
async function waitForServiceAccount(kube: KubeClient, signal: AbortSignal): Promise<undefined> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(60_000)]);
  const type = { group: '', version: 'v1', plural: 'serviceaccounts' };
  while ((await kube.find(type, 'default', 'default', deadline)) === undefined) await sleep(50, undefined, { signal: deadline });
}

async function timed<T>(options: LocalStackOptions, step: string, waitsFor: string, work: () => Promise<T>, quiet = false): Promise<T> {
  const began = performance.now();
  if (!quiet) options.onStep?.({ type: 'begin', step, waitsFor });
  const value = await work();
  const ms = performance.now() - began;
  if (!quiet || ms > 1_000) options.onStep?.({ type: 'end', step, ms, ...(typeof value === 'string' ? { result: value } : {}) });
  return value;
}
