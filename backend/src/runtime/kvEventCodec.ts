import { z } from 'zod';
import type { KvCacheEvent, StorageTier } from '../protocol/index.ts';

/**
 * KV events on the wire: Dynamo's RouterEvent as JSON. 64-bit hashes are decimal strings, since JSON numbers lose bits.
 * One message holds the events of one moment of one worker.
 */
export interface KvEventBatch {
  workerId: bigint;
  /** Of all its events. */
  storageTier: StorageTier;
  /** Id of the newest event this worker has made; -1 when none. Lets a listener notice that it missed the last ones. */
  lastEventId: number;
  events: KvCacheEvent[];
}

const u64 = z
  .string()
  .regex(/^\d{1,20}$/)
  .transform((text) => BigInt(text));

const eventData = z.union([
  z.object({
    stored: z.object({
      parent_hash: u64.nullish(),
      blocks: z.array(z.object({ block_hash: u64, tokens_hash: u64 })),
    }),
  }),
  z.object({ removed: z.object({ block_hashes: z.array(u64) }) }),
  z.literal('cleared'),
]);

const tier = z.enum(['device', 'host_pinned', 'disk', 'external']);

const wireEvent = z.object({
  event_id: z.number().int().nonnegative(),
  dp_rank: z.number().int().nonnegative(),
  data: eventData,
  storage_tier: tier.optional(),
});
export type WireKvEvent = z.input<typeof wireEvent>;

const wireBatch = z.object({
  worker_id: u64,
  storage_tier: tier,
  last_event_id: z.number().int().min(-1),
  events: z.array(wireEvent),
});

export function encodeKvEvent({ eventId, dpRank, data, storageTier }: KvCacheEvent): WireKvEvent {
  const head = { event_id: eventId, dp_rank: dpRank, ...(storageTier && { storage_tier: storageTier }) };
  if (data.type === 'cleared') return { ...head, data: 'cleared' };
  if (data.type === 'removed') return { ...head, data: { removed: { block_hashes: data.blockHashes.map(String) } } };
  return {
    ...head,
    data: {
      stored: {
        ...(data.parentHash === undefined ? {} : { parent_hash: String(data.parentHash) }),
        blocks: data.blocks.map(({ blockHash, tokensHash }) => ({ block_hash: String(blockHash), tokens_hash: String(tokensHash) })),
      },
    },
  };
}

/** Throws a `ZodError` that says which field is wrong. */
export function decodeKvEvent(value: unknown): KvCacheEvent {
  return fromWire(wireEvent.parse(value));
}

export function encodeKvEventBatch(batch: KvEventBatch): Uint8Array {
  const wire: z.input<typeof wireBatch> = {
    worker_id: String(batch.workerId),
    storage_tier: batch.storageTier,
    last_event_id: batch.lastEventId,
    events: batch.events.map(encodeKvEvent),
  };
  return Buffer.from(JSON.stringify(wire));
}

/** Throws on anything that is not a batch. */
export function decodeKvEventBatch(payload: Uint8Array): KvEventBatch {
  const { worker_id, storage_tier, last_event_id, events } = wireBatch.parse(JSON.parse(Buffer.from(payload).toString('utf8')));
  return { workerId: worker_id, storageTier: storage_tier, lastEventId: last_event_id, events: events.map(fromWire) };
}

function fromWire({ event_id, dp_rank, data, storage_tier }: z.output<typeof wireEvent>): KvCacheEvent {
  const head = { eventId: event_id, dpRank: dp_rank, ...(storage_tier && { storageTier: storage_tier }) };
  if (data === 'cleared') return { ...head, data: { type: 'cleared' } };
  if ('removed' in data) return { ...head, data: { type: 'removed', blockHashes: data.removed.block_hashes } };
  const { parent_hash, blocks } = data.stored;
  return {
    ...head,
    data: {
      type: 'stored',
      ...(parent_hash === undefined || parent_hash === null ? {} : { parentHash: parent_hash }),
      blocks: blocks.map(({ block_hash, tokens_hash }) => ({ blockHash: block_hash, tokensHash: tokens_hash })),
    },
  };
}
