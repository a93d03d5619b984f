/** Dynamo's KV cache events (lib/kv-router protocols.rs). 64-bit hashes are bigint in memory and decimal strings in JSON. */
export type KvCacheEventData =
  | { type: 'stored'; parentHash?: bigint; blocks: { blockHash: bigint; tokensHash: bigint }[] }
  | { type: 'removed'; blockHashes: bigint[] }
  | { type: 'cleared' };

export type StorageTier = 'device' | 'host_pinned' | 'disk' | 'external';

export interface KvCacheEvent {
  /** Monotonic per publisher, from 0; a jump is a gap. */
  eventId: number;
  dpRank: number;
  data: KvCacheEventData;
  /** Which of the worker's caches it is about; `cleared` is about all of them. Default: device. */
  storageTier?: StorageTier;
}

export interface RouterEvent {
  workerId: bigint;
  storageTier: StorageTier;
  event: KvCacheEvent;
}
