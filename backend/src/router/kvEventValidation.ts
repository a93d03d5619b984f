import type { RouterEvent } from '../protocol/index.ts';

/** Says in words what is wrong with an event that came over a wire, or `undefined`. Never throws, whatever it is given. */
export function describeInvalidEvent(candidate: unknown): string | undefined {
  const routerEvent = candidate as Partial<RouterEvent> | null | undefined;
  if (typeof routerEvent !== 'object' || routerEvent === null) return 'no object';
  if (!isUint64(routerEvent.workerId)) return 'workerId is no unsigned 64-bit integer';
  const event = routerEvent.event;
  if (typeof event !== 'object' || event === null) return 'event is no object';
  if (!Number.isSafeInteger(event.eventId) || event.eventId < 0) return 'eventId is no unsigned integer';
  if (!Number.isSafeInteger(event.dpRank) || event.dpRank < 0) return 'dpRank is no unsigned integer';
  const data = event.data;
  if (typeof data !== 'object' || data === null) return 'data is no object';
  switch (data.type) {
    case 'cleared':
      return undefined;
    case 'removed':
      if (!Array.isArray(data.blockHashes) || !areUint64(data.blockHashes)) return 'blockHashes are no unsigned 64-bit integers';
      return undefined;
    case 'stored':
      if (data.parentHash !== undefined && !isUint64(data.parentHash)) return 'parentHash is no unsigned 64-bit integer';
      if (!Array.isArray(data.blocks)) return 'blocks are no list';
      if (!haveHashes(data.blocks)) return 'a block hash is no unsigned 64-bit integer';
      return undefined;
    default:
      return 'unknown event type';
  }
}

const LARGEST = 0xffffffffffffffffn;

const isUint64 = (value: unknown): value is bigint => typeof value === 'bigint' && value >= 0n && value <= LARGEST;

// Plain loops: every block of every event passes here.
function areUint64(values: readonly unknown[]): boolean {
  for (let i = 0; i < values.length; i++) if (!isUint64(values[i])) return false;
  return true;
}

function haveHashes(blocks: readonly (Record<'blockHash' | 'tokensHash', unknown> | null | undefined)[]): boolean {
  for (let i = 0; i < blocks.length; i++) {
    const block = blocks[i];
    if (!isUint64(block?.blockHash) || !isUint64(block?.tokensHash)) return false;
  }
  return true;
}
