import { existsSync, mkdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { adoptPodProcess } from '../adoptPodProcess.ts';
import type { BindMount, PodIdentity, PodProcess, PodSandbox, ProcessSpec } from '../podNet.ts';
import { PodStartError } from '../podNetError.ts';
import { isAlive } from '../processStat.ts';
import { spawnPodProcess } from '../spawnPodProcess.ts';
import { connected } from './connected.ts';
import type { LoopbackMap } from './loopbackMap.ts';
import { mapConfiguration } from './mapConfiguration.ts';
import { hostPathOf, rewritePaths } from './rewritePaths.ts';
import { findProgram, isStaticProgram } from './staticProgram.ts';

export interface LoopbackSandboxOptions {
  program: string;
  preload: string;
  dir: string;
  pod: PodIdentity;
  ip: string;
  map: LoopbackMap;
  destroy: () => Promise<void>;
}

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Names the sandbox in the environment of each of its processes, so that all of them can be found. */
export const sandboxVariable = 'DYNAMO_LABS_SANDBOX';

/**
 * A pod whose programs see the machine's own files and processes, and whose addresses are a preload library's work. Mount
 * targets in arguments and environment are replaced by the host paths behind them; HOME and TMPDIR are folders of the pod.
 */
export class LoopbackSandbox implements PodSandbox {
  readonly uid: string;
  readonly ip: string;
  readonly hostIp: string;
  readonly env: Readonly<Record<string, string>>;
  readonly #options: LoopbackSandboxOptions;

  constructor(options: LoopbackSandboxOptions) {
    this.#options = options;
    const { pod, ip, map, dir, preload } = options;
    this.uid = pod.uid;
    this.ip = ip;
    this.hostIp = map.toHost(ip);
    this.env = {
      LD_PRELOAD: preload,
      DYNAMO_LABS_LOOPBACK: map.environment(ip, pod.namespace, (pod.hostname ?? pod.name).slice(0, 63)),
      [sandboxVariable]: dir,
    };
  }

  async spawn(spec: ProcessSpec): Promise<PodProcess> {
    const { program, dir } = this.#options;
    if (!existsSync(dir)) throw new PodStartError('the sandbox of the pod is gone');
    if (spec.container !== undefined && !isAlive(spec.container)) throw new PodStartError('container not running');
    const rewrite = (word: string): string => rewritePaths(word, spec.mounts);
    const argv = spec.argv.map(rewrite);
    const cwd = this.#workingDirectory(hostPathOf(spec.cwd, spec.mounts));
    const given = Object.fromEntries(Object.entries(spec.env).map(([name, value]) => [name, rewrite(value)]));
    const env = { ...given, ...this.#ownFolders(given), ...this.env };
    const isStatic = this.#isStatic(argv, given['PATH'] ?? defaultPath, cwd);
    return spawnPodProcess({
      program,
      marker: dir,
      spec: { ...spec, argv: isStatic ? argv.map((word) => mapConfiguration(word, spec.mounts, dir)) : argv, cwd, env },
      ownsNamespace: false,
      directives: spec.container === undefined ? [['contain']] : [],
    });
  }

  /** A machine's home directory is not the pod's: what a program writes there would outlive it. */
  #ownFolders(env: Record<string, string>): Record<string, string> {
    const home = path.join(this.#options.dir, 'home');
    const temporary = path.join(this.#options.dir, 'tmp');
    mkdirSync(home, { recursive: true });
    mkdirSync(temporary, { recursive: true });
    return { ...(env['HOME'] === undefined || env['HOME'] === '/root' ? { HOME: home } : {}), ...(env['TMPDIR'] === undefined ? { TMPDIR: temporary } : {}) };
  }

  #workingDirectory(wanted: string): string {
    if (existsSync(wanted)) return wanted;
    const own = path.join(this.#options.dir, 'work', wanted);
    mkdirSync(own, { recursive: true });
    return own;
  }

  /** Throws for a static program that would listen on the machine's own address. */
  #isStatic(argv: readonly string[], searchPath: string, cwd: string): boolean {
    const file = findProgram(argv[0] ?? '', searchPath, cwd);
    if (file === undefined || !isStaticProgram(file)) return false;
    if (argv.some((word) => word.includes(this.hostIp))) return true;
    throw new PodStartError(
      `exec: "${argv[0]}": statically linked programs cannot get a pod address with the loopback pod network unless their arguments name ${this.hostIp}`,
    );
  }

  async adopt(pid: number, startTime: number): Promise<PodProcess | undefined> {
    return adoptPodProcess(pid, startTime, { marker: this.#options.dir, ownsNamespace: false });
  }

  pathOf(target: string, mounts: readonly BindMount[]): string {
    return hostPathOf(target, mounts);
  }

  async dialLocal(port: number, signal: AbortSignal): Promise<Duplex> {
    const { map } = this.#options;
    const socket: Socket = connect({ host: this.hostIp, port: map.portToHost(port), localAddress: this.hostIp, allowHalfOpen: true });
    return connected(socket, signal);
  }

  async destroy(): Promise<void> {
    await this.#options.destroy();
  }
}
