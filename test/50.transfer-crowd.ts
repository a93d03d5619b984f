import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault, Grant, TransportName } from '../backend/src/transfer/index.ts';
import { agentOptions, blockBytes, ownerOptions, Peer } from './50.transfer-fixture.ts';
import type { PeerReadAnswer } from './50.transfer-peer.ts';

export interface CrowdOptions {
  transport: TransportName;
  /** Of the owner's addresses. */
  prefix: string;
  healthy: number;
  blocks: number;
  seed: number;
}

/**
 * Sixteen agents and more, each a process: one owner, another owner that dies, a reader that is slow, one that is stopped in the middle of a read, one
 * that is killed in the middle of one, and healthy readers.
 */
export class Crowd implements AsyncDisposable {
  readonly #options: CrowdOptions;
  readonly #peers: Peer[] = [];
  readonly #healthy: Peer[] = [];
  #owner!: Peer;
  #doomed!: Peer;
  #slow!: Peer;
  #stopped!: Peer;
  #killed!: Peer;
  #grant!: Grant;

  private constructor(options: CrowdOptions) {
    this.#options = options;
  }

  static async start(options: CrowdOptions): Promise<Crowd> {
    const crowd = new Crowd(options);
    const { seed, blocks } = options;
    const bytes = blocks * blockBytes;
    const withFault = (fault: Omit<Fault, 'side'>) => ({ faults: { enable: true as const, seed, plan: [{ side: 'read' as const, ...fault }] } });
    const peer = async (name: string, more = {}): Promise<Peer> => {
      const started = await Peer.start(agentOptions(name, { listen: [], ...more }), blocks, seed);
      crowd.#peers.push(started);
      return started;
    };
    try {
      crowd.#owner = await peer('owner', ownerOptions('owner', options.prefix));
      crowd.#doomed = await peer('doomed', ownerOptions('doomed', options.prefix));
      crowd.#slow = await peer('slow', withFault({ kind: 'rate', bytesPerSecond: 200_000 }));
      crowd.#stopped = await peer('stopped', withFault({ kind: 'stall', afterBytes: bytes / 2, ms: 600_000 })); // so that SIGSTOP meets a read under way
      crowd.#killed = await peer('killed', withFault({ kind: 'kill', afterBytes: bytes / 2 }));
      for (let index = 0; index < options.healthy; index++) crowd.#healthy.push(await peer(`reader-${index}`));
      crowd.#grant = await crowd.#grantOf(crowd.#owner);
      return crowd;
    } catch (error) {
      await crowd[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #grantOf(owner: Peer): Promise<Grant> {
    const grant = await owner.ask<Grant>({ do: 'grant', leaseMs: 600_000, readers: 0 });
    return { ...grant, addresses: grant.addresses.filter((address) => address.startsWith(this.#options.prefix)) };
  }
  #read(peer: Peer, grant: Grant, times: number, more: { parts?: number; compareLast?: boolean } = {}): Promise<PeerReadAnswer> {
    return peer.ask<PeerReadAnswer>({ do: 'read', grant, transports: [this.#options.transport], deadlineMs: 60_000, times, ...more });
  }

  /** Slow, stopped and killed readers are in the middle of a read of the owner when this returns. */
  async trouble(): Promise<void> {
    for (const peer of [this.#slow, this.#stopped]) this.#read(peer, this.#grant, 1).catch(() => {}); // they do not end before their process does
    const gone = this.#read(this.#killed, this.#grant, 1).then(
      () => 'it lived',
      () => 'gone',
    );
    if ((await gone) !== 'gone') throw new Error('the reader was not killed');
    await sleep(200);
    this.#stopped.child.kill('SIGSTOP');
  }

  /** All healthy readers at once, `parts` transfers at a time each. */
  read(times: number, parts: number, compareLast = false): Promise<PeerReadAnswer[]> {
    return Promise.all(this.#healthy.map((peer) => this.#read(peer, this.#grant, times, { parts, compareLast })));
  }

  /** All healthy readers read from an owner that is killed meanwhile: how that ended for each. */
  async readFromTheDoomed(): Promise<string[]> {
    const grant = await this.#grantOf(this.#doomed);
    const reads = this.#healthy.map((peer) => this.#read(peer, grant, 1000));
    await sleep(100);
    this.#doomed.child.kill('SIGKILL');
    return (await Promise.all(reads)).map(({ codes }) => codes.at(-1) as string);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#peers.map((peer) => peer[Symbol.asyncDispose]()));
  }
}
