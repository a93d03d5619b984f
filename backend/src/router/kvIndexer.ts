import type { KvCacheEvent, RouterEvent, StorageTier } from '../protocol/index.ts';
import { EventStream, type EventGap } from './eventStream.ts';
import { HashColumns } from './hashColumns.ts';
import { describeInvalidEvent } from './kvEventValidation.ts';
import type { PrefixIndex, PrefixIndexStats } from './prefixIndex.ts';
import type { WorkerSlot, WorkerTable } from './workerTable.ts';

/**
 * What became of one event. All but the last seven were applied (a gap too: later events still tell the truth about themselves).
 * Dynamo counts these under `kv_cache_events_applied{status}`; `orphan` is its `parent_block_not_found`.
 */
export type ApplyStatus =
  | 'ok'
  | 'gap'
  | 'restart'
  | 'block-not-found'
  | 'held'
  | 'duplicate'
  | 'orphan'
  | 'self-parent'
  | 'unknown-worker'
  | 'unknown-rank'
  | 'invalid'
  | 'ignored';

export interface ApplyResult {
  status: ApplyStatus;
  /** With `gap`: what has to be asked for from the worker. */
  gap?: EventGap;
  /** In words, for the log. */
  detail?: string;
}

type EventType = 'stored' | 'removed' | 'cleared' | 'unknown';

/** What a worker answers when asked for missed events: just those, or its whole state as stored events. */
export interface EventRecovery {
  kind: 'events' | 'dump';
  events: KvCacheEvent[];
  storageTier?: StorageTier;
  /** The id up to which the state is now complete; for `events` the last of them. `undefined`: nothing was published yet. */
  lastEventId: number | undefined;
}

const MAX_HELD_EVENTS = 10_000;
const MAX_UNKNOWN_WORKERS = 64;

/** Overlap of one worker with one prompt, per cache tier, in blocks. */
export interface TierOverlap {
  device: Uint32Array;
  /** Where the larger number in `device` was not told by events but guessed from decisions. */
  predicted?: Uint32Array;
  /** False: nothing is known of any host cache or disk. */
  lowerTiers: boolean;
  /** Blocks right after the device's. */
  host(slot: number): number;
  /** Blocks right after the host's. */
  disk(slot: number): number;
}

const none = (): number => 0;

function deviceOnly(device: Uint32Array): TierOverlap {
  return { device, host: none, disk: none, lowerTiers: false };
}

/** The hashes of the event under way; no index keeps an array. */
const columnsInUse = new HashColumns();

interface Rank {
  stream: EventStream;
  /** Set while a recovery is under way: events wait here. */
  held?: RouterEvent[];
}

/**
 * Keeps the prefix index true to what workers publish. Nothing that comes over the wire can make it throw:
 * bad, doubled, early and orphaned events are counted, and routing goes on with what is known.
 */
export class KvIndexer {
  readonly #workers: WorkerTable;
  readonly #createIndex: () => PrefixIndex;
  readonly #tiers = new Map<'device' | 'host' | 'disk', PrefixIndex>();
  readonly #ranks = new Map<number, Rank>();
  /** Events of workers that discovery has not shown yet. */
  readonly #early = new Map<bigint, RouterEvent[]>();
  readonly #counts: Record<EventType, Partial<Record<ApplyStatus, number>>> = { stored: {}, removed: {}, cleared: {}, unknown: {} };
  #overlaps = new Uint32Array(0);
  #deviceOnly: TierOverlap = deviceOnly(this.#overlaps);

  constructor({ workers, createIndex }: { workers: WorkerTable; createIndex: () => PrefixIndex }) {
    this.#workers = workers;
    this.#createIndex = createIndex;
    this.#tiers.set('device', createIndex());
  }

  /** Events by `type/status`, e.g. `stored/ok`. */
  counts(): Record<string, number> {
    const types = Object.entries(this.#counts);
    return Object.fromEntries(types.flatMap(([type, byStatus]) => Object.entries(byStatus).map(([status, count]) => [`${type}/${status}`, count])));
  }

  apply(event: RouterEvent, now: number): ApplyResult {
    const result = this.#apply(event, now);
    const type = (event as Partial<RouterEvent> | undefined)?.event?.data?.type;
    this.#count(type === 'stored' || type === 'removed' || type === 'cleared' ? type : 'unknown', result.status);
    return result;
  }

  /** A worker has come: what it published before discovery showed it is applied now. */
  addSlots(slots: readonly WorkerSlot[], now: number): void {
    for (const { slot } of slots) this.#ranks.set(slot, { stream: new EventStream() });
    for (const workerId of new Set(slots.map((slot) => slot.workerId))) {
      const early = this.#early.get(workerId) ?? [];
      this.#early.delete(workerId);
      for (const event of early) this.apply(event, now);
    }
  }

  removeSlots(slots: readonly WorkerSlot[]): void {
    for (const { slot } of slots) {
      for (const index of this.#tiers.values()) index.clear(slot);
      this.#ranks.delete(slot);
    }
  }

  streamOf(slot: number): EventStream | undefined {
    return this.#ranks.get(slot)?.stream;
  }

  /** From now until `completeRecovery` or `abandonRecovery`, events of this rank wait. False for an unknown rank. */
  beginRecovery(workerId: bigint, dpRank: number): boolean {
    const rank = this.#rank(workerId, dpRank);
    if (!rank) return false;
    rank.held ??= [];
    return true;
  }

  /** Applies what the worker answered, then the events that waited. */
  completeRecovery(workerId: bigint, dpRank: number, recovery: EventRecovery, now: number): void {
    const rank = this.#rank(workerId, dpRank);
    const slot = this.#workers.find(workerId, dpRank);
    if (!rank || !slot) return;
    const held = rank.held ?? [];
    delete rank.held;
    const storageTier = recovery.storageTier ?? 'device';
    if (recovery.kind === 'dump') for (const tier of this.#tiers.values()) tier.clear(slot.slot);
    for (const event of recovery.events) {
      const routerEvent: RouterEvent = { workerId, storageTier: event.storageTier ?? storageTier, event };
      if (describeInvalidEvent(routerEvent) === undefined) this.#count(event.data.type, this.#change(slot, routerEvent).status);
    }
    rank.stream.recovered(recovery.lastEventId);
    for (const event of held) this.apply(event, now);
  }

  abandonRecovery(workerId: bigint, dpRank: number, now: number): void {
    const rank = this.#rank(workerId, dpRank);
    const held = rank?.held ?? [];
    if (rank) delete rank.held;
    for (const event of held) this.apply(event, now);
  }

  /** What it returns is valid until the next call. */
  findMatches(sequence: ArrayLike<bigint>): TierOverlap {
    const device = this.#overlapBuffer();
    this.#tier('device').findMatches(sequence, device);
    if (this.#tiers.size === 1) return device === this.#deviceOnly.device ? this.#deviceOnly : (this.#deviceOnly = deviceOnly(device));
    const host = (slot: number): number => this.#tiers.get('host')?.matchFrom(slot, sequence, device[slot]!) ?? 0;
    const disk = (slot: number): number => this.#tiers.get('disk')?.matchFrom(slot, sequence, device[slot]! + host(slot)) ?? 0;
    return { device, host, disk, lowerTiers: true };
  }

  blocksOf(slot: number): number {
    let blocks = 0;
    for (const index of this.#tiers.values()) blocks += index.blocksOf(slot);
    return blocks;
  }

  stats(): PrefixIndexStats {
    const stats = [...this.#tiers.values()].map((index) => index.stats());
    const bytes = stats.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0);
    return {
      blocks: stats.reduce((sum, { blocks }) => sum + blocks, 0),
      holdings: stats.reduce((sum, { holdings }) => sum + holdings, 0),
      ...(bytes > 0 ? { bytes } : {}),
    };
  }

  #apply(event: RouterEvent, now: number): ApplyResult {
    const invalid = describeInvalidEvent(event);
    if (invalid !== undefined) return { status: 'invalid', detail: invalid };
    const { workerId, event: cacheEvent } = event;
    const slot = this.#workers.find(workerId, cacheEvent.dpRank);
    if (!slot && !this.#workers.has(workerId)) return this.#keepEarly(event);
    if (!slot) return { status: 'unknown-rank', detail: `worker ${workerId} has no dp rank ${cacheEvent.dpRank}` };
    const rank = this.#ranks.get(slot.slot)!;
    if (rank.held && rank.held.length < MAX_HELD_EVENTS) {
      rank.held.push(event);
      return { status: 'held' };
    }
    const accepted = rank.stream.accept(cacheEvent.eventId, now);
    if (accepted.order === 'duplicate') return { status: 'duplicate' };
    if (accepted.order === 'restart') for (const index of this.#tiers.values()) index.clear(slot.slot);
    const changed = this.#change(slot, event);
    if (accepted.order === 'gap') return { ...changed, status: 'gap', gap: accepted.gap };
    if (accepted.order === 'restart' && changed.status === 'ok') return { status: 'restart', detail: 'the publisher began again at event 0' };
    return changed;
  }

  #change(slot: WorkerSlot, { storageTier, event: { data } }: RouterEvent): ApplyResult {
    const index = this.#tier(storageTier);
    switch (data.type) {
      case 'stored': {
        const { engineHashes, localHashes } = columnsInUse.stored(data.blocks);
        const status = index.store(slot.slot, data.parentHash, engineHashes, localHashes, this.#sequenceInAnotherTier(index, slot.slot, data.parentHash));
        return status === 'orphan' ? { status, detail: `parent ${data.parentHash} is not held by worker ${slot.id}` } : { status };
      }
      case 'removed': {
        const missing = index.remove(slot.slot, columnsInUse.removed(data.blockHashes));
        return missing === 0 ? { status: 'ok' } : { status: 'block-not-found', detail: `${missing} of ${data.blockHashes.length} blocks were not held` };
      }
      case 'cleared':
        for (const tier of this.#tiers.values()) tier.clear(slot.slot);
        return { status: 'ok' };
    }
  }

  /** A block on the host may follow one that is only on the device. */
  #sequenceInAnotherTier(index: PrefixIndex, slot: number, parent: bigint | undefined): bigint | undefined {
    if (parent === undefined || this.#tiers.size === 1) return undefined;
    for (const other of this.#tiers.values()) {
      const sequence = other === index ? undefined : other.sequenceOf(slot, parent);
      if (sequence !== undefined) return sequence;
    }
    return undefined;
  }

  /** Discovery and events come by different planes, so an event may be first. Kept within bounds, oldest worker out. */
  #keepEarly(event: RouterEvent): ApplyResult {
    let early = this.#early.get(event.workerId);
    if (!early) {
      if (this.#early.size >= MAX_UNKNOWN_WORKERS) this.#early.delete(this.#early.keys().next().value!);
      this.#early.set(event.workerId, (early = []));
    }
    if (early.length < MAX_HELD_EVENTS) early.push(event);
    return { status: 'unknown-worker', detail: `worker ${event.workerId} is not discovered yet` };
  }

  #rank(workerId: bigint, dpRank: number): Rank | undefined {
    const slot = this.#workers.find(workerId, dpRank);
    return slot && this.#ranks.get(slot.slot);
  }

  #tier(storageTier: StorageTier | 'host'): PrefixIndex {
    const name = storageTier === 'device' ? 'device' : storageTier === 'disk' || storageTier === 'external' ? 'disk' : 'host';
    let index = this.#tiers.get(name);
    if (!index) this.#tiers.set(name, (index = this.#createIndex()));
    return index;
  }

  #overlapBuffer(): Uint32Array {
    if (this.#overlaps.length !== this.#workers.capacity) this.#overlaps = new Uint32Array(this.#workers.capacity);
    return this.#overlaps;
  }

  #count(type: EventType, status: ApplyStatus): void {
    const byStatus = this.#counts[type];
    byStatus[status] = (byStatus[status] ?? 0) + 1;
  }
}
