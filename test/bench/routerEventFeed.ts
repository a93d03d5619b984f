import type { RouterEvent } from '../../backend/src/protocol/index.ts';
import type { KvRouter, RouterKernels } from '../../backend/src/router/index.ts';

/** Publishes a prompt's blocks as that worker would. */
export function eventFeed(router: KvRouter, kernels: RouterKernels, blockSize: number): (workerId: bigint, tokens: Uint32Array) => void {
  const eventIds = new Map<bigint, number>();
  return (workerId, tokens) => {
    const { local, sequence } = kernels.hashBlocks(tokens, blockSize, {});
    const eventId = eventIds.get(workerId) ?? 0;
    eventIds.set(workerId, eventId + 1);
    const blocks = Array.from(local, (tokensHash, i) => ({ blockHash: sequence[i]!, tokensHash }));
    const event: RouterEvent = { workerId, storageTier: 'device', event: { eventId, dpRank: 0, data: { type: 'stored', blocks } } };
    router.applyEvent(event);
  };
}
