import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { KvCacheEvent } from '../protocol/index.ts';
import { decodeKvEvent, decodeKvEventBatch, encodeKvEvent, encodeKvEventBatch } from './kvEventCodec.ts';

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const block = fc.record({ blockHash: u64, tokensHash: u64 });
const data: fc.Arbitrary<KvCacheEvent['data']> = fc.oneof(
  fc.record({ type: fc.constant('stored' as const), blocks: fc.array(block) }),
  fc.record({ type: fc.constant('stored' as const), parentHash: u64, blocks: fc.array(block) }),
  fc.record({ type: fc.constant('removed' as const), blockHashes: fc.array(u64) }),
  fc.record({ type: fc.constant('cleared' as const) }),
);
const event: fc.Arbitrary<KvCacheEvent> = fc.record({ eventId: fc.nat(), dpRank: fc.nat(7), data });

describe('KV event codec', () => {
  it('keeps all 64 bits of every hash', () => {
    fc.assert(
      fc.property(event, (original) => {
        expect(decodeKvEvent(JSON.parse(JSON.stringify(encodeKvEvent(original))))).toEqual(original);
      }),
    );
  });

  it('carries batches whole', () => {
    fc.assert(
      fc.property(u64, fc.array(event), (workerId, events) => {
        const batch = { workerId, storageTier: 'device' as const, lastEventId: events.length - 1, events };
        expect(decodeKvEventBatch(encodeKvEventBatch(batch))).toEqual(batch);
      }),
    );
  });

  it('uses Dynamo’s names', () => {
    expect(encodeKvEvent({ eventId: 3, dpRank: 0, data: { type: 'stored', parentHash: 9n, blocks: [{ blockHash: 1n, tokensHash: 2n }] } })).toEqual({
      event_id: 3,
      dp_rank: 0,
      data: { stored: { parent_hash: '9', blocks: [{ block_hash: '1', tokens_hash: '2' }] } },
    });
  });

  it.each([
    '{',
    '{}',
    '{"worker_id":"-1","storage_tier":"device","last_event_id":0,"events":[]}',
    '{"worker_id":"1","storage_tier":"device","last_event_id":0,"events":[{}]}',
  ])('refuses %s', (text) => {
    expect(() => decodeKvEventBatch(Buffer.from(text))).toThrow();
  });
});
