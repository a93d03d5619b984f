import type { KubernetesBinaries } from './kubernetesPrograms.ts';
import type { ProcessEvent } from './managedProcess.ts';
import { ensureStackFolders } from './stackFolders.ts';
import { acquireStackLock } from './stackLock.ts';
import { startParts } from './stackParts.ts';
import { type StackStep, timed } from './stackStep.ts';
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
  /** The programs, where they were found already. */
  binaries?: KubernetesBinaries;
  /** The data lives as long as this stack: etcd does not fsync. */
  throwAway?: boolean;
  onStep?: (step: StackStep) => void;
  onEvent?: (event: ProcessEvent) => void;
  signal?: AbortSignal;
}

export interface LocalStack {
  readonly supervisor: Supervisor;
  readonly binaries: KubernetesBinaries;
  /** `https://127.0.0.1:<port>` */
  readonly server: string;
  readonly kubeconfig: string;
  /** Opens JupyterLab, where that part runs; holds its token. */
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
      options.onStep,
      'leftovers of an earlier run',
      'their end',
      async () => {
        const ended = await endSurvivors(layout);
        return ended.length === 0 ? undefined : `ended ${ended.join(', ')}`;
      },
      'quiet',
    );
    await removeSockets(layout);
    supervisor = new Supervisor({ layout, ...(options.onEvent && { onEvent: options.onEvent }) });
    return { ...(await startParts(options, supervisor)), supervisor, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
