import { nativeAddon, type NativeTransferAgent, type NativeTransferEvent } from '@dynamo-labs/native';
import type { TransferAgentOptions } from './agentOptions.ts';
import type { Grant } from './grant.ts';
import { decodeMetadata } from './metadata.ts';
import { Transfer } from './transfer.ts';
import { engineCall, TransferError, type TransportName } from './transferError.ts';
import { type PoolOptions, TransferPool } from './transferPool.ts';

export interface TransferOptions {
  /** Settles by then, plus one second. Default 30,000. */
  deadlineMs?: number;
  /** Every chunk at its destination: XXH3 over sockets, each byte over shared memory. Default true. */
  verify?: boolean;
  /** In order of preference. Default shm, uds, tcp. */
  transports?: TransportName[];
  /** Delivered to the other side after the data. */
  notification?: string;
  signal?: AbortSignal;
}

export interface ReadOptions extends TransferOptions {
  /** Tell the owner that this reader is done with the grant. Default true. */
  release?: boolean;
  /** Read only these of the grant's blocks (indices into `grant.blocks`). Default: all. */
  only?: number[];
}

export type GrantEvent = Extract<NativeTransferEvent, { type: 'grant' }>;
export type RefusedEvent = Extract<NativeTransferEvent, { type: 'refused' }>;
export interface TransferNotification {
  from: string;
  payload: Buffer;
}

/** One process's end of all KV transfers: grants blocks of its pools to others, reads and pushes blocks. Throws {@link TransferError}. */
export class TransferAgent implements Disposable {
  readonly name: string;
  readonly native: NativeTransferAgent;
  readonly #transfers = new Map<number, Transfer>();
  readonly #listeners = {
    notification: new Set<(notification: TransferNotification) => void>(),
    grant: new Set<(event: GrantEvent) => void>(),
    refused: new Set<(event: RefusedEvent) => void>(),
  };
  readonly #addresses: string[];

  constructor(options: TransferAgentOptions) {
    const { faults, listen = [], ...rest } = options;
    const native = { ...rest, listen, faults: faults?.enable === true ? faults.plan : [], ...(faults && { faultSeed: faults.seed }) };
    this.native = engineCall(() => new (nativeAddon().TransferAgent)(native, () => this.#drain()));
    this.name = options.name;
    this.#addresses = decodeMetadata(this.native.metadata())?.addresses ?? [];
  }

  get epoch(): string {
    return this.native.epoch.toString();
  }
  /** Where it listens, ports filled in. */
  get addresses(): string[] {
    return [...this.#addresses];
  }

  createPool(options: PoolOptions): TransferPool {
    return new TransferPool({ name: this.name, addresses: this.#addresses, agent: this.native }, options);
  }

  /** Copies the grant's blocks, in order, into `localBlocks` of the pool. */
  read(grant: Grant, pool: TransferPool, localBlocks: readonly number[], options: ReadOptions = {}): Transfer {
    const chosen = options.only?.map((index) => grant.blocks[index] ?? -1) ?? grant.blocks;
    const pieces = piecesOf(grant, chosen, pool, localBlocks);
    const more = { release: options.release ?? true, blockBytes: grant.blockBytes };
    return this.start(() => this.native.read({ ...this.#common(grant, pool, pieces, options), ...more }), options.signal);
  }

  /** Pushes local blocks into a writable grant. Done means verified at the target. This agent must listen: the target reads from it. */
  write(grant: Grant, pool: TransferPool, localBlocks: readonly number[], options: TransferOptions = {}): Transfer {
    const pieces = piecesOf(grant, grant.blocks, pool, localBlocks);
    return this.start(() => this.native.write(this.#common(grant, pool, pieces, options)), options.signal);
  }

  renew(grant: Grant): boolean {
    return engineCall(() => this.native.renew(grant.ref.id));
  }
  /** Ends a grant of this agent at once: readers get EXPIRED. False if it had ended. */
  revoke(grant: Grant): boolean {
    return engineCall(() => this.native.revoke(grant.ref.id));
  }
  /** Delivered at least tried for until acknowledged, and at most once seen. At most 64 KiB. */
  notify(peer: { agent: string; epoch: string; addresses: string[] }, payload: string): void {
    engineCall(() => this.native.notify({ peer: peer.agent, epoch: BigInt(peer.epoch), addresses: peer.addresses, payload }));
  }

  onNotification(listener: (notification: TransferNotification) => void): Disposable {
    return subscribe(this.#listeners.notification, listener);
  }
  /** A grant of this agent has ended, and how. */
  onGrantEnded(listener: (event: GrantEvent) => void): Disposable {
    return subscribe(this.#listeners.grant, listener);
  }
  /** A peer was turned away. */
  onRefused(listener: (event: RefusedEvent) => void): Disposable {
    return subscribe(this.#listeners.refused, listener);
  }

  faultReports(): { kind: string; side: 'read' | 'serve'; atByte: number }[] {
    return this.native.faultReports();
  }

  /** Ends every thread, connection and mapping; what is under way rejects with CLOSED. Idempotent. */
  close(): void {
    this.native.close();
    this.#drain();
  }
  [Symbol.dispose](): void {
    this.close();
  }

  /** Starts a native read or write and follows it. For the faces of this agent. */
  start(begin: () => ReturnType<NativeTransferAgent['read']>, signal?: AbortSignal): Transfer {
    if (signal?.aborted) throw new TransferError('CANCELED', 'cancelled before it began', {}, { cause: signal.reason });
    const transfer = new Transfer(this.native, engineCall(begin));
    if (transfer.result) return transfer;
    this.#transfers.set(transfer.id, transfer);
    if (signal) {
      const abort = () => transfer.cancel();
      const forget = () => signal.removeEventListener('abort', abort);
      signal.addEventListener('abort', abort, { once: true });
      transfer.done.then(forget, forget);
    }
    return transfer;
  }

  #common(grant: Grant, pool: TransferPool, pieces: Float64Array, options: TransferOptions) {
    const { deadlineMs = 30_000, verify = true, transports = ['shm', 'uds', 'tcp'], notification = '' } = options;
    const peer = { peer: grant.agent, epoch: BigInt(grant.epoch), addresses: grant.addresses, grant: grant.ref };
    return { ...peer, localPool: pool.id, pieces, transports, deadlineMs, verify, notification };
  }

  #drain(): void {
    for (const event of this.native.drain()) {
      if (event.type === 'notification') for (const listener of this.#listeners.notification) listener({ from: event.from, payload: event.payload });
      else if (event.type === 'grant') for (const listener of this.#listeners.grant) listener(event);
      else if (event.type === 'refused') for (const listener of this.#listeners.refused) listener(event);
      else {
        const transfer = this.#transfers.get(event.result.id);
        this.#transfers.delete(event.result.id);
        transfer?.settle(event.result);
      }
    }
  }
}

function piecesOf(grant: Grant, remoteBlocks: readonly number[], pool: TransferPool, localBlocks: readonly number[]): Float64Array {
  if (localBlocks.length !== remoteBlocks.length)
    throw new TransferError('INVALID_PARAM', `${remoteBlocks.length} blocks are granted, ${localBlocks.length} local ones given`);
  if (pool.blockBytes !== grant.blockBytes) throw new TransferError('MISMATCH', `blocks of ${grant.blockBytes} bytes do not fit blocks of ${pool.blockBytes}`);
  const pieces = new Float64Array(remoteBlocks.length * 3);
  remoteBlocks.forEach((block, index) => {
    const local = localBlocks[index] as number;
    pool.checkBlock(local);
    if (block < 0) throw new TransferError('INVALID_PARAM', 'no such block of the grant');
    pieces.set([block * grant.blockBytes, local * pool.blockBytes, grant.blockBytes], index * 3);
  });
  return pieces;
}

function subscribe<T>(listeners: Set<T>, listener: T): Disposable {
  listeners.add(listener);
  return { [Symbol.dispose]: () => void listeners.delete(listener) };
}
