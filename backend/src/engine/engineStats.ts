import type { BlockManager } from './blockManager.ts';
import type { HeldBlocks } from './heldBlocks.ts';
import type { HostTier } from './hostTier.ts';
import type { EngineStats } from './llmEngineApi.ts';
import type { Scheduler } from './scheduler.ts';

export const zeroCounters = {
  promptTokens: 0,
  cachedTokens: 0,
  transferredTokens: 0,
  hostCachedTokens: 0,
  computedTokens: 0,
  generatedTokens: 0,
  steps: 0,
  failedStepsInARow: 0,
};
export type EngineCounters = { -readonly [K in keyof typeof zeroCounters]: number };

export function engineStats(parts: {
  blocks: BlockManager;
  scheduler: Scheduler;
  held: HeldBlocks;
  host: HostTier | undefined;
  counters: EngineCounters;
}): EngineStats {
  const { blocks, scheduler, held, host, counters } = parts;
  return {
    totalBlocks: blocks.totalBlocks,
    usedBlocks: blocks.usedBlocks,
    cachedBlocks: blocks.cachedBlocks,
    heldBlocks: held.size,
    running: scheduler.running.length,
    waiting: scheduler.waiting.length + scheduler.loading.size + scheduler.loaded.length,
    waitingForRemoteKvs: scheduler.loading.size,
    ...counters,
    preemptions: scheduler.preemptions,
    lastKvEventId: blocks.lastEventId,
    ...(host && { host: host.stats }),
  };
}
