import type { Duplex } from 'node:stream';

/** A file or directory of the host that a pod sees at another path. */
export interface BindMount {
  /** Absolute path on the host. */
  source: string;
  /** Absolute path inside the pod. */
  target: string;
  readOnly?: boolean;
}

export interface PodIdentity {
  uid: string;
  namespace: string;
  name: string;
  /** The virtual node the pod runs on. Traffic of any node reaches pods from 10.244.0.1. */
  nodeName: string;
  hostname?: string;
  /** Extra lines of the pod's /etc/hosts (`hostAliases`). */
  hostAliases?: { ip: string; hostnames: string[] }[];
}

export interface ProcessSpec {
  /** `argv[0]` is looked up on the `PATH` of `env` inside the pod's file view. */
  argv: string[];
  /** The complete environment: nothing is inherited. */
  env: Record<string, string>;
  cwd: string;
  /** Mounts of this container (volumes, hostPath, tokens, image paths), in order. Ignored with `container`. */
  mounts: BindMount[];
  /** Runs inside the file view and process namespace of this running container (kubectl exec, exec probes). */
  container?: { pid: number; startTime: number };
  /** Allocates a terminal; stdout carries both streams then. */
  tty?: { columns: number; rows: number };
  /** True when the program keeps stdin (exec -i, `stdin: true`). */
  stdin?: boolean;
  /**
   * A long-running container must outlive the node agent so that a restarted agent can adopt it: its output goes straight
   * to these files (raw bytes, appended), and no pipe of the agent is involved. When it ends, its exit status and the time
   * are written to `exitRecordFile(stdoutFile)`, also while no agent runs.
   */
  detached?: { stdoutFile: string; stderrFile: string };
}

export interface ExitStatus {
  /** Exit code; 128 + n for a signal n. */
  exitCode: number;
  signal?: number;
  /** RFC 3339; present when the end was read from an exit record (adopted processes). */
  finishedAt?: string;
}

/**
 * A running process of a pod. A signal goes to the program's process group. SIGKILL ends a container with everything in it,
 * an exec with its process group.
 */
export interface PodProcess {
  /** Host pid of the process that stands for the program on the host (its parent or grandparent); signals to it are passed on. */
  readonly pid: number;
  /** Field 22 of /proc/pid/stat: together with the pid it names the process for ever. */
  readonly startTime: number;
  /** Absent when `detached`. */
  readonly stdin?: NodeJS.WritableStream;
  readonly stdout?: NodeJS.ReadableStream;
  readonly stderr?: NodeJS.ReadableStream;
  /** Never rejects. What the program printed may still be in `stdout` and `stderr`: read them to their end. */
  readonly exited: Promise<ExitStatus>;
  kill(signal: NodeJS.Signals): void;
  resize?(columns: number, rows: number): void;
}

/** One pod's network (and, where the driver has one, file) view. Exists as long as the pod. */
export interface PodSandbox {
  readonly uid: string;
  /** The pod IP: never loopback, accepted by the EndpointSlice controller. */
  readonly ip: string;
  /** `loopback` only: the address of this machine behind `ip`, which statically linked servers must be told to listen on. */
  readonly hostIp?: string;
  /** Rejects with `PodStartError` when the program could not be started (not found, no permission, mount refused). */
  spawn(spec: ProcessSpec): Promise<PodProcess>;
  /** Watches a detached process that an earlier agent started. `undefined` if it is gone. */
  adopt(pid: number, startTime: number): Promise<PodProcess | undefined>;
  /** The path under which a program of this pod finds `target`: `target` itself, or the mount's source where pods share the host's files. */
  pathOf(target: string, mounts: readonly BindMount[]): string;
  /** Environment every program of this pod needs besides its own (empty with `namespaces`); `spawn` adds it by itself. */
  readonly env: Readonly<Record<string, string>>;
  /** Connects from inside the pod, e.g. to its 127.0.0.1 (port-forward). */
  dialLocal(port: number, signal: AbortSignal): Promise<Duplex>;
  destroy(): Promise<void>;
}

/**
 * The pod network seam. Two drivers: `namespaces` (user + network + mount namespaces) and `loopback` (10.a.b.c is served
 * as 127.a.b.c through a preload shim). Both pass the same contract tests. Address plan: pods 10.244.0.0/16,
 * services 10.96.0.0/16 (DNS 10.96.0.10), nodes 10.240.0.0/24.
 */
export interface PodNet {
  readonly driver: 'namespaces' | 'loopback';
  /** Starts the driver's own processes and recovers the sandboxes of an earlier agent. */
  start(signal: AbortSignal): Promise<void>;
  createSandbox(pod: PodIdentity): Promise<PodSandbox>;
  /** The sandbox that an earlier agent made for this pod, if it is still whole. */
  recoverSandbox(pod: PodIdentity): Promise<PodSandbox | undefined>;
  /** Connects from the node to a pod IP, a ClusterIP or a node IP. */
  dial(ip: string, port: number, signal: AbortSignal): Promise<Duplex>;
  /** Listens on a ClusterIP or node IP inside the pod network (service proxy, DNS over TCP, kubelet port). */
  listen(ip: string, port: number, onConnection: (socket: Duplex) => void): Promise<AsyncDisposable>;
  /** Serves datagrams on an address inside the pod network (cluster DNS). */
  listenUdp(ip: string, port: number, onMessage: (message: Buffer, reply: (answer: Buffer) => void) => void): Promise<AsyncDisposable>;
  /** Sandboxes that exist but are not in `keep` are destroyed with their processes. */
  sweep(keep: Set<string>): Promise<void>;
  /** Stops the driver. `keepPods` leaves pods and their network running for the next agent. */
  close(options: { keepPods: boolean }): Promise<void>;
}
