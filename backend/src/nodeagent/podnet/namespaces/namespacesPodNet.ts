import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { addressPlan, podAddress } from '../addressPlan.ts';
import { readJsonFile, writeJsonFile } from '../atomicFile.ts';
import { serveConnections, serveDatagrams } from '../listenOn.ts';
import type { BindMount, PodIdentity, PodNet, PodSandbox } from '../podNet.ts';
import { PodNetError } from '../podNetError.ts';
import { allPids, commandLine, isAlive, processStat } from '../processStat.ts';
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

interface DriverRecord {
  owner: ProcessIdentity;
  /** Number of the next address to try: a fresh pod does not get the address of one that has just gone. */
  cursor: number;
}

/** How long killed processes may take to disappear. */
const destroyDeadlineMs = 10_000;

/** Pods in Linux namespaces: works as root and, where the kernel allows user namespaces, as anybody. */
export class NamespacesPodNet implements PodNet {
  readonly driver = 'namespaces';
  readonly #options: NamespacesPodNetOptions;
  readonly #sandboxes = new Map<string, { record: Required<SandboxRecord>; sandbox: NamespacesSandbox }>();
  readonly #listeners = new Set<AsyncDisposable>();
  readonly #takenAddresses = new Set<string>();
  #state: DriverRecord | undefined;
  #door: SocketDoor | undefined;

  constructor(options: NamespacesPodNetOptions) {
    this.#options = options;
  }

  async start(signal: AbortSignal): Promise<void> {
    const { dir, program } = this.#options;
    mkdirSync(this.#rootDir, { recursive: true, mode: 0o700 });
    const earlier = readJsonFile<DriverRecord>(this.#stateFile);
    if (earlier !== undefined && isAlive(earlier.owner) && commandLine(earlier.owner.pid)[2] === dir) this.#state = earlier;
    else {
      this.#killStrays(() => true);
      this.#state = { owner: await startOwner(program, dir, signal), cursor: earlier?.cursor ?? 0 };
      this.#save();
    }
    for (const record of this.#records()) this.#takenAddresses.add(record.ip);
    this.#door = new SocketDoor({ program, marker: dir, ownerPid: this.#state.owner.pid });
    await this.#door.open();
  }

  get #rootDir(): string {
    return path.join(this.#options.dir, 'root');
  }

  get #stateFile(): string {
    return path.join(this.#options.dir, 'driver.json');
  }

  get #running(): { state: DriverRecord; door: SocketDoor } {
    if (this.#state === undefined || this.#door === undefined) throw new PodNetError('PODNET_UNAVAILABLE', 'the pod network is not started');
    return { state: this.#state, door: this.#door };
  }

  #save(): void {
    writeJsonFile(this.#stateFile, this.#state);
  }

  #sandboxDir(uid: string): string {
    return path.join(this.#options.dir, 'sandboxes', uid);
  }

  #records(): SandboxRecord[] {
    let uids: string[];
    try {
      uids = readdirSync(path.join(this.#options.dir, 'sandboxes'));
    } catch {
      return [];
    }
    return uids.flatMap((uid) => readJsonFile<SandboxRecord>(path.join(this.#sandboxDir(uid), 'sandbox.json')) ?? []);
  }

  #takeAddress(): string {
    const { state } = this.#running;
    for (let tries = 0; tries < 65_536; tries++) {
      let ip = podAddress(state.cursor++);
      if (ip === undefined) {
        state.cursor = 1;
        ip = podAddress(0) as string;
      }
      if (this.#takenAddresses.has(ip)) continue;
      this.#takenAddresses.add(ip);
      this.#save();
      return ip;
    }
    throw new PodNetError('PODNET_ADDRESSES_EXHAUSTED', `every address of ${addressPlan.podPrefix}.0.0/16 is in use`);
  }

  async createSandbox(pod: PodIdentity): Promise<PodSandbox> {
    const { state } = this.#running;
    const dir = this.#sandboxDir(pod.uid);
    await this.#destroy(pod.uid);
    const ip = this.#takeAddress();
    const record: SandboxRecord = { pod, ip, interface: interfaceName(ip), owner: state.owner };
    writeHostFiles(dir, pod, ip);
    // First the record, then the process: an agent that dies in between leaves nothing unknown.
    writeJsonFile(path.join(dir, 'sandbox.json'), record);
    try {
      const hostname = (pod.hostname ?? pod.name).slice(0, 63);
      const { words } = await startPodinit(
        this.#options.program,
        ['pause', dir, String(state.owner.pid), record.interface, ip, hostname],
        new AbortController().signal,
      );
      const stat = processStat(Number(words[1]));
      if (stat === undefined) throw new PodNetError('PODNET_HELPER_FAILED', 'podinit pause ended at once');
      const complete = { ...record, pause: { pid: stat.pid, startTime: stat.startTime } };
      writeJsonFile(path.join(dir, 'sandbox.json'), complete);
      return this.#register(complete);
    } catch (error) {
      await this.#destroy(pod.uid);
      throw error;
    }
  }

  async recoverSandbox(pod: PodIdentity): Promise<PodSandbox | undefined> {
    const known = this.#sandboxes.get(pod.uid);
    if (known !== undefined) return known.sandbox;
    const record = readJsonFile<SandboxRecord>(path.join(this.#sandboxDir(pod.uid), 'sandbox.json'));
    if (record?.pause === undefined || !isAlive(record.pause) || record.owner.pid !== this.#running.state.owner.pid) return undefined;
    return this.#register({ ...record, pause: record.pause });
  }

  #register(record: Required<SandboxRecord>): NamespacesSandbox {
    const { uid } = record.pod;
    const dir = this.#sandboxDir(uid);
    const sandbox = new NamespacesSandbox({
      program: this.#options.program,
      dir,
      rootDir: this.#rootDir,
      record,
      baseMounts: [
        ...this.#options.readOnlyPaths.map((place): BindMount => ({ source: place, target: place, readOnly: true })),
        ...writeHostFiles(dir, record.pod, record.ip),
      ],
      door: this.#running.door,
      destroy: () => this.#destroy(uid),
    });
    this.#sandboxes.set(uid, { record, sandbox });
    return sandbox;
  }

  async dial(ip: string, port: number, signal: AbortSignal): Promise<Duplex> {
    return this.#running.door.connect(0, ip, port, signal);
  }

  async listen(ip: string, port: number, onConnection: (socket: Duplex) => void): Promise<AsyncDisposable> {
    return this.#track(serveConnections(await this.#running.door.listen(0, ip, port), onConnection));
  }

  async listenUdp(ip: string, port: number, onMessage: (message: Buffer, reply: (answer: Buffer) => void) => void): Promise<AsyncDisposable> {
    return this.#track(serveDatagrams(await this.#running.door.datagram(0, ip, port), onMessage));
  }

  #track(listener: AsyncDisposable): AsyncDisposable {
    const tracked: AsyncDisposable = {
      [Symbol.asyncDispose]: async () => {
        if (this.#listeners.delete(tracked)) await listener[Symbol.asyncDispose]();
      },
    };
    this.#listeners.add(tracked);
    return tracked;
  }

  async sweep(keep: Set<string>): Promise<void> {
    const uids = new Set([...this.#sandboxes.keys(), ...this.#records().map((record) => record.pod.uid)]);
    await Promise.all([...uids].filter((uid) => !keep.has(uid)).map((uid) => this.#destroy(uid)));
    this.#killStrays((marker) => !keep.has(path.basename(marker)));
  }

  /** Kills sandbox processes by what their command line says, also such that no record knows. */
  #killStrays(condemned: (marker: string) => boolean): number {
    const sandboxes = path.join(this.#options.dir, 'sandboxes') + path.sep;
    let found = 0;
    for (const pid of allPids()) {
      const [program, command, marker = ''] = commandLine(pid);
      if (program !== this.#options.program || (command !== 'pause' && command !== 'run')) continue;
      if (!marker.startsWith(sandboxes) || !condemned(marker) || processStat(pid) === undefined) continue;
      found += 1;
      kill(pid);
    }
    return found;
  }

  async #destroy(uid: string): Promise<void> {
    const dir = this.#sandboxDir(uid);
    const record = readJsonFile<SandboxRecord>(path.join(dir, 'sandbox.json'));
    this.#sandboxes.delete(uid);
    if (record === undefined) return;
    // With its first process the kernel ends every process of the pod; the `podinit run` parents on the host then report and end.
    if (record.pause !== undefined && isAlive(record.pause)) kill(record.pause.pid);
    const deadline = Date.now() + destroyDeadlineMs;
    while (this.#processesOf(dir) > 0 && Date.now() < deadline) await sleep(10);
    this.#killStrays((marker) => marker === dir);
    if (record.owner.pid === this.#running.state.owner.pid) await this.#running.door.deleteInterface(record.interface);
    rmSync(dir, { recursive: true, force: true });
    this.#takenAddresses.delete(record.ip);
  }

  #processesOf(dir: string): number {
    return allPids().filter((pid) => commandLine(pid)[2] === dir && processStat(pid) !== undefined).length;
  }

  async close(options: { keepPods: boolean }): Promise<void> {
    await Promise.all([...this.#listeners].map((listener) => listener[Symbol.asyncDispose]()));
    if (this.#state === undefined) return;
    if (!options.keepPods) {
      await this.sweep(new Set());
      kill(this.#state.owner.pid);
      rmSync(this.#stateFile, { force: true });
    }
    this.#door?.close();
    this.#state = undefined;
    this.#door = undefined;
    this.#sandboxes.clear();
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Unique per address and at most 15 characters: `v0af40102` for 10.244.1.2. */
function interfaceName(ip: string): string {
  return `v${ip
    .split('.')
    .map((part) => Number(part).toString(16).padStart(2, '0'))
    .join('')}`;
}
