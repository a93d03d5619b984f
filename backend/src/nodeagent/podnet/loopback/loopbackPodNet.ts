import { createSocket } from 'node:dgram';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { addressPlan } from '../addressPlan.ts';
import { AddressPool } from '../addressPool.ts';
import { readJsonFile, writeJsonFile } from '../atomicFile.ts';
import { ListenerSet } from '../listenerSet.ts';
import { serveConnections, serveDatagrams } from '../listenOn.ts';
import type { PodIdentity, PodNet, PodSandbox } from '../podNet.ts';
import { PodNetError } from '../podNetError.ts';
import { allPids } from '../processStat.ts';
import { killProcess, SandboxStore } from '../sandboxStore.ts';
import { connected } from './connected.ts';
import { LoopbackMap, neededShift, takeSlot } from './loopbackMap.ts';
import { LoopbackSandbox, sandboxVariable } from './loopbackSandbox.ts';

export interface LoopbackPodNetOptions {
  program: string;
  preload: string;
  /** The driver's folder, private to this cluster. */
  dir: string;
}

interface DriverRecord {
  slot: number;
  shift: number;
  cursor: number;
}

interface SandboxRecord {
  pod: PodIdentity;
  ip: string;
  slot: number;
}

interface Running {
  map: LoopbackMap;
  lock: Server;
  addresses: AddressPool;
  preload: string;
}

/** How long killed processes may take to disappear. */
const endDeadlineMs = 10_000;

/** Pods without any privilege: their addresses are this machine's 127/8 under other names. */
export class LoopbackPodNet implements PodNet {
  readonly driver = 'loopback';
  readonly #options: LoopbackPodNetOptions;
  readonly #store: SandboxStore<SandboxRecord>;
  readonly #sandboxes = new Map<string, LoopbackSandbox>();
  readonly #listeners = new ListenerSet();
  #started: Running | undefined;

  constructor(options: LoopbackPodNetOptions) {
    this.#options = options;
    this.#store = new SandboxStore(options);
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { dir, preload } = this.#options;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const earlier = readJsonFile<DriverRecord>(this.#stateFile);
    const { slot, lock } = await takeSlot(earlier?.slot ?? createHash('sha256').update(dir).digest().readUInt16BE(0));
    const addresses = new AddressPool(earlier?.cursor ?? 0);
    for (const uid of this.#store.uids()) addresses.reserve(this.#store.read(uid)?.ip ?? '');
    this.#started = { map: new LoopbackMap(slot, await neededShift(slot)), lock, addresses, preload: withoutSeparators(preload) };
    this.#save();
  }

  get #stateFile(): string {
    return path.join(this.#options.dir, 'driver.json');
  }

  get #running(): Running {
    if (this.#started === undefined) throw new PodNetError('PODNET_UNAVAILABLE', 'the pod network is not started');
    return this.#started;
  }

  #save(): void {
    const { map, addresses } = this.#running;
    writeJsonFile(this.#stateFile, { slot: map.slot, shift: map.shift, cursor: addresses.cursor } satisfies DriverRecord);
  }

  async createSandbox(pod: PodIdentity): Promise<PodSandbox> {
    const { map, addresses } = this.#running;
    await this.#destroy(pod.uid);
    const ip = addresses.take();
    this.#save();
    const record = { pod, ip, slot: map.slot };
    this.#store.write(record);
    return this.#register(record);
  }

  async recoverSandbox(pod: PodIdentity): Promise<PodSandbox | undefined> {
    const known = this.#sandboxes.get(pod.uid);
    if (known !== undefined) return known;
    const record = this.#store.read(pod.uid);
    return record === undefined || record.slot !== this.#running.map.slot ? undefined : this.#register(record);
  }

  #register({ pod, ip }: SandboxRecord): LoopbackSandbox {
    const { map, preload } = this.#running;
    const dir = this.#store.folder(pod.uid);
    const sandbox = new LoopbackSandbox({ program: this.#options.program, preload, dir, pod, ip, map, destroy: () => this.#destroy(pod.uid) });
    this.#sandboxes.set(pod.uid, sandbox);
    return sandbox;
  }

  async dial(ip: string, port: number, signal: AbortSignal): Promise<Duplex> {
    const { map } = this.#running;
    const localAddress = map.toHost(addressPlan.podGateway);
    return connected(connect({ host: map.toHost(ip), port: map.portToHost(port), localAddress, allowHalfOpen: true }), signal);
  }

  async listen(ip: string, port: number, onConnection: (socket: Duplex) => void): Promise<AsyncDisposable> {
    const { map } = this.#running;
    const server = createServer({ allowHalfOpen: true });
    const listener = serveConnections(server, (socket) => onConnection(this.#named(socket)));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(map.portToHost(port), map.toHost(ip), resolve);
    });
    return this.#listeners.add(listener);
  }

  /** The peer under its name in the pod network. */
  #named(socket: Socket): Socket {
    const address = this.#running.map.toPod(socket.remoteAddress ?? '');
    return Object.defineProperty(socket, 'remoteAddress', { value: address });
  }

  async listenUdp(ip: string, port: number, onMessage: (message: Buffer, reply: (answer: Buffer) => void) => void): Promise<AsyncDisposable> {
    const { map } = this.#running;
    const socket = createSocket('udp4');
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(map.portToHost(port), map.toHost(ip), resolve);
    });
    return this.#listeners.add(serveDatagrams(socket, onMessage));
  }

  async sweep(keep: Set<string>): Promise<void> {
    const uids = new Set([...this.#store.uids(), ...this.#store.processes().map(({ uid }) => uid)]);
    await Promise.all([...uids].filter((uid) => !keep.has(uid)).map((uid) => this.#destroy(uid)));
  }

  async #destroy(uid: string): Promise<void> {
    const record = this.#store.read(uid);
    this.#sandboxes.delete(uid);
    const marker = `${sandboxVariable}=${this.#store.folder(uid)}`;
    const inside = (): number[] => allPids().filter((pid) => hasVariable(pid, marker));
    // While one is found another may be forked: until none is left.
    const deadline = Date.now() + endDeadlineMs;
    for (let pids = inside(); pids.length > 0 && Date.now() < deadline; pids = inside()) {
      for (const pid of pids) killProcess(pid);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await this.#store.awaitEnd(uid);
    if (record !== undefined) this.#running.addresses.release(record.ip);
    this.#store.remove(uid);
  }

  async close(options: { keepPods: boolean }): Promise<void> {
    await this.#listeners[Symbol.asyncDispose]();
    const started = this.#started;
    if (started === undefined) return;
    if (!options.keepPods) {
      await this.sweep(new Set());
      if (started.preload !== this.#options.preload) rmSync(path.dirname(started.preload), { recursive: true, force: true });
    }
    await new Promise((resolve) => started.lock.close(resolve));
    this.#started = undefined;
    this.#sandboxes.clear();
  }
}

/** LD_PRELOAD is a list: a library whose path has a separator in it is used from another place. */
function withoutSeparators(library: string): string {
  if (!/[\s:]/.test(library)) return library;
  const copy = path.join(mkdtempSync(path.join(tmpdir(), 'dynamo-labs-preload-')), path.basename(library));
  copyFileSync(library, copy);
  return copy;
}

function hasVariable(pid: number, variable: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(variable);
  } catch {
    return false;
  }
}
