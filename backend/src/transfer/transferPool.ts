import type { NativeTransferAgent } from '@dynamo-labs/native';
import type { Grant } from './grant.ts';
import { engineCall, TransferError } from './transferError.ts';

export interface GrantOptions {
  /** It ends so long after the last renewal or request. Default 30,000. */
  leaseMs?: number;
  /** It ends when so many readers have released it; 0 = never for that reason. Default 1. */
  readers?: number;
  /** Others may push into the blocks. Default false. */
  writable?: boolean;
  /** Comes back in lease events. */
  requestId?: string;
}

/** Where the agent that owns a pool can be found. */
export interface PoolOwner {
  name: string;
  addresses: string[];
  agent: NativeTransferAgent;
}

export interface PoolOptions {
  blocks: number;
  blockBytes: number;
  /** Take the pages now instead of when they are written. Default true. */
  prefault?: boolean;
  /**
   * Register this memory instead of making some: `blocks * blockBytes` long. Readers cannot map it, so they come by `uds` or `tcp`, and their result
   * says so (`fallbacks`). It is kept until the pool is dropped or the agent closed, and must not be transferred to another thread before.
   */
  memory?: ArrayBuffer;
}

/** Registered memory, divided into blocks: one slab of shared memory that readers on this machine map, or memory that was there before. */
export class TransferPool {
  readonly id: number;
  readonly blockBytes: number;
  readonly blocks: number;
  /** The whole pool. Zeroed at first. Stays valid after the agent was closed. */
  readonly buffer: ArrayBuffer;
  readonly #owner: PoolOwner;

  constructor(owner: PoolOwner, options: PoolOptions) {
    const bytes = options.blocks * options.blockBytes;
    if (!Number.isSafeInteger(bytes) || bytes <= 0 || !Number.isSafeInteger(options.blocks))
      throw new TransferError('INVALID_PARAM', 'a pool has a whole, positive number of blocks');
    const { blockBytes, prefault = true, memory } = options;
    const pool = engineCall(() => owner.agent.createPool({ bytes, blockBytes, prefault, ...(memory && { memory }) }));
    this.id = pool.id;
    this.buffer = pool.buffer;
    this.blocks = options.blocks;
    this.blockBytes = options.blockBytes;
    this.#owner = owner;
  }

  /** The bytes of a block, in place. */
  block(block: number): Uint8Array {
    this.checkBlock(block);
    return new Uint8Array(this.buffer, block * this.blockBytes, this.blockBytes);
  }

  /** Lets others read the blocks until the lease runs out, it is revoked, or its readers have released it. Throws {@link TransferError}. */
  grant(blocks: readonly number[], options: GrantOptions = {}): Grant {
    const { leaseMs = 30_000, readers = 1, writable = false, requestId = '' } = options;
    const ranges = new Float64Array(blocks.length * 2);
    blocks.forEach((block, index) => {
      this.checkBlock(block);
      ranges[2 * index] = block * this.blockBytes;
      ranges[2 * index + 1] = this.blockBytes;
    });
    const { agent, name, addresses } = this.#owner;
    const ref = engineCall(() => agent.grant({ pool: this.id, ranges, leaseMs, readers, writable, requestId }));
    return { agent: name, epoch: agent.epoch.toString(), addresses, ref, blockBytes: this.blockBytes, blocks: [...blocks], leaseMs, writable };
  }

  /** Must be called before a block is written again while a grant of it may live: whoever still reads it gets EXPIRED. */
  withdraw(firstBlock: number, count = 1): void {
    engineCall(() => this.#owner.agent.withdraw(this.id, firstBlock, count));
  }

  /** Revokes every grant and gives the memory back once nobody holds `buffer`. */
  drop(): void {
    engineCall(() => this.#owner.agent.dropPool(this.id));
  }

  checkBlock(block: number): void {
    if (!Number.isInteger(block) || block < 0 || block >= this.blocks)
      throw new TransferError('INVALID_PARAM', `block ${block} is not one of the pool's ${this.blocks}`);
  }
}
