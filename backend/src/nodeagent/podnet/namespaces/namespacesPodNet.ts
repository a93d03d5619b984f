import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { AddressPool } from '../addressPool.ts';
import { readJsonFile, writeJsonFile } from '../atomicFile.ts';
import { ListenerSet } from '../listenerSet.ts';
import { serveConnections, serveDatagrams } from '../listenOn.ts';
import type { BindMount, PodIdentity, PodNet, PodSandbox } from '../podNet.ts';
import { PodNetError } from '../podNetError.ts';
import { commandLine, isAlive, processStat } from '../processStat.ts';
import { killProcess, SandboxStore } from '../sandboxStore.ts';
import { SocketDoor } from '../socketDoor.ts';
import { writeHostFiles } from './hostFiles.ts';
import { NamespacesSandbox } from './namespacesSandbox.ts';
import { startOwner, startPodinit, type ProcessIdentity } from './ownerProcess.ts';
import type { SandboxRecord } from './sandboxRecord.ts';

export interface NamespacesPodNetOptions {
  program: string;
  /** The driver's folder, private to this cluster. */
  dir: string;
  /** Host paths every container sees read-only at the same place. */
  readOnlyPaths: readonly string[];
}

/** `<dir>/driver.json`. */
interface DriverRecord {
  owner: ProcessIdentity;
  /** See `AddressPool`. */
  cursor: number;
}

interface Running {
  owner: ProcessIdentity;
  addresses: AddressPool;
  door: SocketDoor;
}

/** Pods in Linux namespaces: works as root and, where the kernel allows user namespaces, as anybody. */
export class NamespacesPodNet implements PodNet {
  readonly driver = 'namespaces';
  readonly #options: NamespacesPodNetOptions;
  readonly #store: SandboxStore<SandboxRecord>;
  readonly #sandboxes = new Map<string, NamespacesSandbox>();
  readonly #listeners = new ListenerSet();
  #started: Running | undefined;

  constructor(options: NamespacesPodNetOptions) {
    this.#options = options;
    this.#store = new SandboxStore(options);
  }

  async start(signal: AbortSignal): Promise<void> {
    const { dir, program } = this.#options;
    mkdirSync(this.#rootDir, { recursive: true, mode: 0o700 });
    const earlier = readJsonFile<DriverRecord>(this.#stateFile);
    let owner = earlier?.owner;
    if (owner === undefined || !isAlive(owner) || commandLine(owner.pid)[2] !== dir) {
      // Without its owner no sandbox has a network any more.
      for (const { pid } of this.#store.processes()) killProcess(pid);
      owner = await startOwner(program, dir, signal);
    }
    const addresses = new AddressPool(earlier?.cursor ?? 0);
    for (const uid of this.#store.uids()) addresses.reserve(this.#store.read(uid)?.ip ?? '');
    const door = new SocketDoor({ program, marker: dir, ownerPid: owner.pid });
    this.#started = { owner, addresses, door };
    this.#save();
    await door.open();
  }

  get #rootDir(): string {
    return path.join(this.#options.dir, 'root');
  }

  get #stateFile(): string {
    return path.join(this.#options.dir, 'driver.json');
  }

  get #running(): Running {
    if (this.#started === undefined) throw new PodNetError('PODNET_UNAVAILABLE', 'the pod network is not started');
    return this.#started;
  }

  #save(): void {
    const { owner, addresses } = this.#running;
    writeJsonFile(this.#stateFile, { owner, cursor: addresses.cursor } satisfies DriverRecord);
  }

  async createSandbox(pod: PodIdentity): Promise<PodSandbox> {
    const { owner, addresses } = this.#running;
    await this.#destroy(pod.uid);
    const ip = addresses.take();
    this.#save();
    const record: SandboxRecord = { pod, ip, interface: interfaceName(ip), owner };
    const dir = this.#store.folder(pod.uid);
    // First the record, then the process: an agent that dies in between leaves nothing unknown.
    this.#store.write(record);
    try {
      const hostname = (pod.hostname ?? pod.name).slice(0, 63);
      const args = ['pause', dir, String(owner.pid), record.interface, ip, hostname];
      const { words } = await startPodinit(this.#options.program, args, new AbortController().signal);
      const stat = processStat(Number(words[1]));
      if (stat === undefined) throw new PodNetError('PODNET_HELPER_FAILED', 'podinit pause ended at once');
      const complete = { ...record, pause: { pid: stat.pid, startTime: stat.startTime } };
      this.#store.write(complete);
      return this.#register(complete);
    } catch (error) {
      await this.#destroy(pod.uid);
      throw error;
    }
  }

  async recoverSandbox(pod: PodIdentity): Promise<PodSandbox | undefined> {
    const known = this.#sandboxes.get(pod.uid);
    if (known !== undefined) return known;
    const record = this.#store.read(pod.uid);
    if (record?.pause === undefined || !isAlive(record.pause)) return undefined;
    if (record.owner.pid !== this.#running.owner.pid || record.owner.startTime !== this.#running.owner.startTime) return undefined;
    return this.#register({ ...record, pause: record.pause });
  }

  #register(record: Required<SandboxRecord>): NamespacesSandbox {
    const { uid } = record.pod;
    const dir = this.#store.folder(uid);
    const shared = this.#options.readOnlyPaths.map((place): BindMount => ({ source: place, target: place, readOnly: true }));
    const sandbox = new NamespacesSandbox({
      program: this.#options.program,
      dir,
      rootDir: this.#rootDir,
      record,
      baseMounts: [...shared, ...writeHostFiles(dir, record.pod, record.ip)],
      door: this.#running.door,
      destroy: () => this.#destroy(uid),
    });
    this.#sandboxes.set(uid, sandbox);
    return sandbox;
  }

  async dial(ip: string, port: number, signal: AbortSignal): Promise<Duplex> {
    return this.#running.door.connect(0, ip, port, signal);
  }

  async listen(ip: string, port: number, onConnection: (socket: Duplex) => void): Promise<AsyncDisposable> {
    return this.#listeners.add(serveConnections(await this.#running.door.listen(0, ip, port), onConnection));
  }

  async listenUdp(ip: string, port: number, onMessage: (message: Buffer, reply: (answer: Buffer) => void) => void): Promise<AsyncDisposable> {
    return this.#listeners.add(serveDatagrams(await this.#running.door.datagram(0, ip, port), onMessage));
  }

  async sweep(keep: Set<string>): Promise<void> {
    const uids = new Set([...this.#store.uids(), ...this.#store.processes().map(({ uid }) => uid)]);
    await Promise.all([...uids].filter((uid) => !keep.has(uid)).map((uid) => this.#destroy(uid)));
  }

  async #destroy(uid: string): Promise<void> {
    const { owner, door, addresses } = this.#running;
    const record = this.#store.read(uid);
    this.#sandboxes.delete(uid);
    // With its first process the kernel ends every process of the pod; the `podinit run` parents on the host then report and end.
    if (record?.pause !== undefined && isAlive(record.pause)) killProcess(record.pause.pid);
    for (const found of record?.pause === undefined ? this.#store.processes() : []) if (found.uid === uid) killProcess(found.pid);
    await this.#store.awaitEnd(uid);
    if (record !== undefined) {
      if (record.owner.pid === owner.pid) await door.deleteInterface(record.interface);
      addresses.release(record.ip);
    }
    this.#store.remove(uid);
  }

  async close(options: { keepPods: boolean }): Promise<void> {
    await this.#listeners[Symbol.asyncDispose]();
    const started = this.#started;
    if (started === undefined) return;
    if (!options.keepPods) {
      await this.sweep(new Set());
      killProcess(started.owner.pid);
      rmSync(this.#stateFile, { force: true });
    }
    started.door.close();
    this.#started = undefined;
    this.#sandboxes.clear();
  }
}

/** Unique per address and at most 15 characters: `v0af40102` for 10.244.1.2. */
function interfaceName(ip: string): string {
  return `v${ip
    .split('.')
    .map((part) => Number(part).toString(16).padStart(2, '0'))
    .join('')}`;
}
