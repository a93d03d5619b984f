import { spawn, type ChildProcess } from 'node:child_process';
import type { Socket as DatagramSocket } from 'node:dgram';
import type { Server, Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { PodNetError } from './podNetError.ts';

/** What the door hands out. */
type Handle = Socket | Server | DatagramSocket | undefined;

interface Pending {
  resolve: (handle: Handle) => void;
  reject: (error: Error) => void;
  /** For the message of an error. */
  what: string;
}

export interface SocketDoorOptions {
  program: string;
  marker: string;
  /** The process that owns the cluster's namespaces. */
  ownerPid: number;
}

/**
 * Makes sockets inside the pod network for this process. Node cannot enter a namespace, but a socket belongs for ever to the
 * namespace it was made in: `podinit door` makes it there and passes it over Node's IPC channel, and from then on it is an
 * ordinary `net` or `dgram` socket of ours. `sandboxPid` 0 means the cluster's own namespace, where nodes and Services live.
 */
export class SocketDoor {
  readonly #options: SocketDoorOptions;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #child: ChildProcess | undefined;
  #closed = false;

  constructor(options: SocketDoorOptions) {
    this.#options = options;
  }

  /** Resolves when the helper has entered the network. Later calls start it again should it have died. */
  async open(): Promise<void> {
    if (this.#closed) throw new PodNetError('PODNET_UNAVAILABLE', 'the pod network is closed');
    if (this.#child !== undefined) return;
    const { program, marker, ownerPid } = this.#options;
    const child = spawn(program, ['door', marker, String(ownerPid)], { stdio: ['pipe', 'ignore', 'pipe', 'ipc'], env: {} });
    this.#child = child;
    let complaint = '';
    child.stderr?.on('data', (text) => (complaint += String(text)));
    child.stdin?.on('error', () => {});
    const ready = this.#expect(0, 'start');
    const fail = (cause: string): void => {
      if (this.#child !== child) return;
      this.#child = undefined;
      for (const [id, pending] of this.#pending) {
        this.#pending.delete(id);
        pending.reject(new PodNetError('PODNET_HELPER_FAILED', `podinit door: ${cause}`));
      }
    };
    child.once('error', (error) => fail(error.message));
    child.once('exit', (code, signal) => fail(complaint.trim().replace(/^error /, '') || `ended with ${signal ?? code}`));
    child.on('message', (message, handle) => this.#settle(message as { id: number; error?: number }, handle as Handle));
    await ready;
    // The helper alone shall not keep a process alive that has nothing else to do; a pending request does (#expect).
    child.unref();
    for (const stream of [child.stdin, child.stderr]) (stream as unknown as { unref(): void } | null)?.unref();
  }

  /** A connected socket; half-open ends are kept apart (`allowHalfOpen`). Errors have the usual codes, e.g. ECONNREFUSED. */
  async connect(sandboxPid: number, ip: string, port: number, signal: AbortSignal): Promise<Socket> {
    const socket = (await this.#request('connect', sandboxPid, ip, port, signal)) as Socket;
    // A reset before the caller has put its own listener on must not end the whole process.
    return socket.on('error', () => {});
  }

  async listen(sandboxPid: number, ip: string, port: number): Promise<Server> {
    return (await this.#request('listen', sandboxPid, ip, port)) as Server;
  }

  async datagram(sandboxPid: number, ip: string, port: number): Promise<DatagramSocket> {
    return (await this.#request('datagram', sandboxPid, ip, port)) as DatagramSocket;
  }

  /** Removes an interface of the cluster's namespace; one that is not there is a success. */
  async deleteInterface(name: string): Promise<void> {
    await this.#request('delete', 0, name, 0).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENODEV') throw error;
    });
  }

  close(): void {
    this.#closed = true;
    this.#child?.kill('SIGKILL');
  }

  #expect(id: number, what: string): Promise<Handle> {
    const { promise, resolve, reject } = Promise.withResolvers<Handle>();
    this.#pending.set(id, { resolve, reject, what });
    this.#child?.channel?.ref();
    return promise;
  }

  async #request(verb: string, pid: number, word: string, port: number, signal?: AbortSignal): Promise<Handle> {
    signal?.throwIfAborted();
    await this.open();
    signal?.throwIfAborted();
    const id = this.#nextId++;
    const answer = this.#expect(id, `${verb} ${word}:${port}`);
    this.#child?.stdin?.write(`${verb} ${id} ${pid} ${word} ${port}\n`);
    if (signal === undefined) return answer;
    const aborted = (): void => {
      const pending = this.#pending.get(id);
      if (pending === undefined) return;
      // The helper still answers; a socket that comes too late is closed.
      this.#pending.set(id, { ...pending, resolve: (handle) => (handle as Socket).destroy(), reject: () => {} });
      pending.reject(signal.reason as Error);
    };
    signal.addEventListener('abort', aborted, { once: true });
    return answer.finally(() => signal.removeEventListener('abort', aborted));
  }

  #settle(message: { id: number; error?: number }, handle: Handle): void {
    const pending = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if (this.#pending.size === 0) this.#child?.channel?.unref();
    if (handle !== undefined) {
      if ('allowHalfOpen' in handle || 'listening' in handle) (handle as { allowHalfOpen?: boolean }).allowHalfOpen = true;
      pending?.resolve(handle);
      return;
    }
    if (message.error === undefined || message.error === 0) {
      pending?.resolve(undefined);
      return;
    }
    const code = getSystemErrorName(-message.error);
    pending?.reject(Object.assign(new Error(`${pending.what}: ${code}`), { code, errno: -message.error, syscall: pending.what.split(' ')[0] }));
  }
}
