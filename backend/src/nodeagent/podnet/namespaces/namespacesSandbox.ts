import type { Duplex } from 'node:stream';
import { adoptPodProcess } from '../adoptPodProcess.ts';
import type { Directive } from '../podinit.ts';
import type { BindMount, PodProcess, PodSandbox, ProcessSpec } from '../podNet.ts';
import { PodStartError } from '../podNetError.ts';
import { childrenOf, isAlive } from '../processStat.ts';
import { spawnPodProcess } from '../spawnPodProcess.ts';
import type { SocketDoor } from '../socketDoor.ts';
import type { SandboxRecord } from './sandboxRecord.ts';

export interface NamespacesSandboxOptions {
  program: string;
  /** The sandbox's folder, which also marks its processes. */
  dir: string;
  /** An empty directory: every container's file view is built there, in its own mount namespace. */
  rootDir: string;
  record: Required<SandboxRecord>;
  /** What every container sees besides its own mounts. */
  baseMounts: readonly BindMount[];
  door: SocketDoor;
  destroy: () => Promise<void>;
}

/** A pod's network, host name and process namespace, held by its `podinit pause`; containers get their own file view inside. */
export class NamespacesSandbox implements PodSandbox {
  readonly uid: string;
  readonly ip: string;
  readonly env = {};
  readonly #options: NamespacesSandboxOptions;

  constructor(options: NamespacesSandboxOptions) {
    this.#options = options;
    this.uid = options.record.pod.uid;
    this.ip = options.record.ip;
  }

  async spawn(spec: ProcessSpec): Promise<PodProcess> {
    const { program, dir, record } = this.#options;
    if (!isAlive(record.pause)) throw new PodStartError(`the sandbox of pod ${record.pod.namespace}/${record.pod.name} is gone`);
    return spawnPodProcess({
      program,
      marker: dir,
      spec,
      ownsNamespace: spec.container === undefined,
      directives: [['owner', record.owner.pid], ...(spec.container === undefined ? this.#newView(spec) : this.#join(spec.container))],
    });
  }

  #newView(spec: ProcessSpec): Directive[] {
    const { record, rootDir, baseMounts } = this.#options;
    return [
      ['pause', record.pause.pid],
      ['root', rootDir],
      ...[...baseMounts, ...spec.mounts].map(({ source, target, readOnly }) => ['mount', readOnly === true ? 'ro' : 'rw', source, target] as const),
    ];
  }

  #join(container: { pid: number; startTime: number }): Directive[] {
    const init = isAlive(container) ? childrenOf(container.pid)[0] : undefined;
    if (init === undefined) throw new PodStartError('container not running');
    return [['join', init]];
  }

  async adopt(pid: number, startTime: number): Promise<PodProcess | undefined> {
    return adoptPodProcess(pid, startTime, { marker: this.#options.dir, ownsNamespace: true });
  }

  pathOf(target: string): string {
    return target;
  }

  async dialLocal(port: number, signal: AbortSignal): Promise<Duplex> {
    return this.#options.door.connect(this.#options.record.pause.pid, '127.0.0.1', port, signal);
  }

  async destroy(): Promise<void> {
    await this.#options.destroy();
  }
}
