import type { Grant } from './grant.ts';
import { parseGrant } from './grant.ts';
import type { Transfer } from './transfer.ts';
import type { TransferAgent, TransferOptions } from './transferAgent.ts';
import { TransferError, type TransportName } from './transferError.ts';
import type { TransferPool } from './transferPool.ts';

/** `addr` counts from the start of region `devId`. */
export interface NixlDescriptor {
  addr: number;
  len: number;
  devId: number;
}
export interface NixlRegion {
  devId: number;
  buffer: ArrayBuffer;
  /** Whether readers on this machine can map it. */
  shared: boolean;
}
export type NixlStatus = 'NIXL_SUCCESS' | 'NIXL_IN_PROG' | `NIXL_ERR_${string}`;
export interface NixlXferDlist {
  /** '' = local. */
  agent: string;
  descriptors: NixlDescriptor[];
}
export interface NixlXferRequest {
  op: 'READ' | 'WRITE';
  agent: string;
  transfer?: Transfer;
  start: () => Transfer;
}
export type NixlNotifications = Record<string, string[]>;

/** A registered region is granted whole, to everybody who knows the token, for as long as the agent lives: NIXL knows no leases. */
const forever = { leaseMs: 365 * 86_400_000, readers: 0, writable: true };
const regionBlock = 4096;

/**
 * NIXL's calls by their names (src/api/cpp/nixl.h) over a {@link TransferAgent}: register, exchange metadata, prepare lists, make a request out of
 * indices, post it, poll it. A request stays within one region on each side. Errors are thrown as TransferError where NIXL returns a status, except for
 * `postXferReq` and `getXferStatus`.
 */
export class NixlAgent {
  readonly #agent: TransferAgent;
  readonly #options: TransferOptions;
  readonly #regions = new Map<number, { pool: TransferPool; grant: Grant; own: boolean }>();
  readonly #remotes = new Map<string, Map<number, Grant>>();
  #notifications: NixlNotifications = {};

  constructor(agent: TransferAgent, options: TransferOptions = {}) {
    this.#agent = agent;
    this.#options = options;
    agent.onNotification(({ from, payload }) => (this.#notifications[from] ??= []).push(payload.toString()));
  }

  /**
   * A length: new shared memory. A pool of this agent, whole: the pool's own shared memory. Any other ArrayBuffer is taken as it is, which readers on this
   * machine cannot map: they come by socket ({@link queryXferBackend}).
   */
  registerMem(memory: number | ArrayBuffer | TransferPool): NixlRegion {
    const given = typeof memory === 'object' && 'grant' in memory;
    const pool = given ? memory : this.#poolOf(memory);
    const blocks = Array.from({ length: pool.blocks }, (_, index) => index);
    this.#regions.set(pool.id, { pool, grant: pool.grant(blocks, forever), own: !given });
    return { devId: pool.id, buffer: pool.buffer, shared: typeof memory === 'number' || given };
  }
  #poolOf(memory: number | ArrayBuffer): TransferPool {
    if (typeof memory === 'number') return this.#agent.createPool({ blocks: Math.ceil(memory / regionBlock), blockBytes: regionBlock });
    const bytes = memory.byteLength;
    const blockBytes = bytes % regionBlock === 0 ? regionBlock : bytes;
    return this.#agent.createPool({ blocks: bytes / blockBytes, blockBytes, memory });
  }
  deregisterMem(region: NixlRegion): void {
    const { pool, grant, own } = this.#region(region.devId);
    if (own) pool.drop();
    else this.#agent.revoke(grant);
    this.#regions.delete(region.devId);
  }

  /** To be carried to the other agent by any means. */
  getLocalMD(): string {
    return JSON.stringify({ agent: this.#agent.name, regions: [...this.#regions.values()].map(({ grant }) => ({ ...grant, blocks: [] })) });
  }
  /** Returns the other agent's name. Does not connect. */
  loadRemoteMD(metadata: string): string {
    const { agent, regions } = JSON.parse(metadata) as { agent: string; regions: unknown[] };
    const grants = regions.map(parseGrant);
    this.#remotes.set(agent, new Map(grants.map((grant) => [grant.ref.pool, grant])));
    return agent;
  }
  invalidateRemoteMD(agent: string): void {
    this.#remotes.delete(agent);
  }

  prepXferDlist(agent: string, descriptors: NixlDescriptor[]): NixlXferDlist {
    if (agent === '') for (const one of descriptors) this.#region(one.devId);
    else for (const one of descriptors) this.#remote(agent, one.devId);
    return { agent, descriptors };
  }

  /** `localIndices[i]` pairs with `remoteIndices[i]`; neighbours on both sides are merged. The notification reaches the remote agent after the data. */
  makeXferReq(
    op: 'READ' | 'WRITE',
    local: NixlXferDlist,
    localIndices: number[],
    remote: NixlXferDlist,
    remoteIndices: number[],
    notification = '',
  ): NixlXferRequest {
    if (localIndices.length !== remoteIndices.length) throw new TransferError('INVALID_PARAM', 'as many local as remote descriptors, please');
    const pieces = new Float64Array(localIndices.length * 3);
    const devices = new Map<string, [number, number]>();
    localIndices.forEach((localIndex, index) => {
      const to = local.descriptors[localIndex];
      const from = remote.descriptors[remoteIndices[index] as number];
      if (!to || !from || to.len !== from.len) throw new TransferError('INVALID_PARAM', `pair ${index}: no such descriptor, or lengths differ`);
      pieces.set([from.addr, to.addr, to.len], index * 3);
      devices.set(`${to.devId}:${from.devId}`, [to.devId, from.devId]);
    });
    const [pair, second] = devices.values();
    if (!pair || second) throw new TransferError('NOT_SUPPORTED', 'a request stays within one region on each side');
    const [localDevice, remoteDevice] = pair;
    const grant = this.#remote(remote.agent, remoteDevice);
    const { pool } = this.#region(localDevice);
    const start = () => {
      const { deadlineMs = 30_000, verify = true, transports = ['shm', 'uds', 'tcp'], signal } = this.#options;
      const peer = { peer: grant.agent, epoch: BigInt(grant.epoch), addresses: grant.addresses, grant: grant.ref };
      const common = { ...peer, localPool: pool.id, pieces, transports, deadlineMs, verify, notification };
      const { native } = this.#agent;
      return this.#agent.start(() => (op === 'READ' ? native.read({ ...common, release: false, blockBytes: 0 }) : native.write(common)), signal);
    };
    return { op, agent: remote.agent, start };
  }

  /** One post at a time; may be posted again when it is over. */
  postXferReq(request: NixlXferRequest): NixlStatus {
    if (request.transfer && !request.transfer.result) return 'NIXL_ERR_REPOST_ACTIVE';
    request.transfer = request.start();
    request.transfer.done.catch(() => {}); // polled through getXferStatus
    return this.getXferStatus(request);
  }
  getXferStatus(request: NixlXferRequest): NixlStatus {
    if (!request.transfer) return 'NIXL_ERR_NOT_POSTED';
    const { result } = request.transfer;
    if (!result) return 'NIXL_IN_PROG';
    return result.code === 'SUCCESS' ? 'NIXL_SUCCESS' : `NIXL_ERR_${result.code}`;
  }
  /** What moves the bytes, once that is known: `shm`, `uds`, `tcp`, `ucx`. */
  queryXferBackend(request: NixlXferRequest): TransportName {
    return request.transfer?.progress().transport ?? 'none';
  }
  releaseXferReq(request: NixlXferRequest): void {
    request.transfer?.cancel();
  }

  genNotif(agent: string, payload: string): void {
    const grant = [...(this.#remotes.get(agent)?.values() ?? [])][0];
    if (!grant) throw new TransferError('NOT_FOUND', `no metadata of agent ${agent}`);
    this.#agent.notify(grant, payload);
  }
  /** What has arrived since the last call, by sender. */
  getNotifs(): NixlNotifications {
    const seen = this.#notifications;
    this.#notifications = {};
    return seen;
  }

  #region(devId: number) {
    const region = this.#regions.get(devId);
    if (!region) throw new TransferError('NOT_FOUND', `no region ${devId}`);
    return region;
  }
  #remote(agent: string, devId: number): Grant {
    const grant = this.#remotes.get(agent)?.get(devId);
    if (!grant) throw new TransferError('NOT_FOUND', `no metadata of region ${devId} of agent ${agent}`);
    return grant;
  }
}
