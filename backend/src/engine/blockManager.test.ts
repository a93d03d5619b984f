import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { localBlockHashes, sequenceHashes } from '../protocol/blockHash.ts';
import type { KvCacheEvent } from '../protocol/index.ts';
import { BlockManager } from './blockManager.ts';

const blockTokens = 4;
const prompt = (length: number, seed = 0): Int32Array => Int32Array.from({ length }, (_, i) => i + seed * 1000);

/** What a router believes after the events: hash → parent. Throws on what a router would count as an error. */
function replay(events: readonly KvCacheEvent[]): Map<bigint, bigint | undefined> {
  const cached = new Map<bigint, bigint | undefined>();
  for (const { data } of events) {
    if (data.type === 'cleared') cached.clear();
    else if (data.type === 'removed') for (const hash of data.blockHashes) expect(cached.delete(hash)).toBe(true);
    else {
      let parent = data.parentHash;
      for (const block of data.blocks) {
        if (parent !== undefined) expect(cached.has(parent)).toBe(true);
        expect(cached.has(block.blockHash)).toBe(false);
        cached.set(block.blockHash, parent);
        parent = block.blockHash;
      }
    }
  }
  return cached;
}

function manager(blocks: number): { blocks: BlockManager; events: KvCacheEvent[] } {
  const events: KvCacheEvent[] = [];
  return { blocks: new BlockManager({ blocks, blockTokens, enablePrefixCaching: true, onEvent: (event) => events.push(event) }), events };
}

describe('the prefix cache', () => {
  test('identities are the hash chain of the protocol, for a prompt and for the blocks after it', () => {
    const { blocks } = manager(8);
    const tokens = prompt(23);
    const local = localBlockHashes(tokens, blockTokens);
    const whole = blocks.identify(tokens);
    expect(whole.map(({ localHash }) => localHash)).toEqual([...local]);
    expect(whole.map(({ sequenceHash }) => sequenceHash)).toEqual([...sequenceHashes(local)]);
    const head = blocks.identify(tokens.subarray(0, 8));
    expect([...head, ...blocks.identify(tokens.subarray(8), head.at(-1))]).toEqual(whole);
  });

  test('a stored prompt is found again, block for block, and only as far as it is equal', () => {
    const { blocks } = manager(8);
    const identities = blocks.identify(prompt(13));
    expect(identities).toHaveLength(3);
    const table = blocks.allocate(4)!;
    blocks.store(table, 0, identities);
    blocks.release(table);
    expect(blocks.match(blocks.identify(prompt(13)))).toBe(3);
    const other = prompt(13);
    other[5] = 999;
    expect(blocks.match(blocks.identify(other))).toBe(1);
    expect(blocks.acquire(identities)).toEqual(table.slice(0, 3));
  });

  test('eviction takes the least recently used prompt, its end before its beginning', () => {
    const { blocks, events } = manager(4);
    const store = (seed: number): bigint[] => {
      const identities = blocks.identify(prompt(8, seed));
      const table = blocks.allocate(2)!;
      blocks.store(table, 0, identities);
      blocks.release(table);
      return identities.map((identity) => identity.sequenceHash);
    };
    const old = store(1);
    const young = store(2);
    blocks.release(blocks.acquire(blocks.identify(prompt(8, 1)))); // the old one is used again
    blocks.allocate(1);
    expect(events.at(-1)!.data).toEqual({ type: 'removed', blockHashes: [young[1]] });
    blocks.allocate(2);
    expect(events.at(-1)!.data).toEqual({ type: 'removed', blockHashes: [young[0], old[1]] });
    expect(blocks.allocate(2)).toBeUndefined();
  });

  test('two sequences that compute the same block end up sharing one', () => {
    const { blocks, events } = manager(4);
    const identities = blocks.identify(prompt(4));
    const [first, second] = [blocks.allocate(1)!, blocks.allocate(1)!];
    blocks.store(first, 0, identities);
    blocks.store(second, 0, identities);
    expect(second).toEqual(first);
    expect(events).toHaveLength(1);
    expect(blocks.usedBlocks).toBe(1);
  });

  test('clearing keeps the blocks of running sequences but forgets what they hold', () => {
    const { blocks, events } = manager(4);
    const identities = blocks.identify(prompt(12));
    const table = blocks.allocate(3)!;
    blocks.store(table, 0, identities.slice(0, 2));
    expect(blocks.clear()).toBe(2);
    expect(events.at(-1)).toEqual({ eventId: 1, dpRank: 0, data: { type: 'cleared' } });
    expect(blocks.usedBlocks).toBe(3);
    blocks.store(table, 2, identities.slice(2)); // its parent is not cached any more
    expect(blocks.cachedBlocks).toBe(0);
    blocks.release(table);
    expect(blocks.availableBlocks).toBe(4);
  });
});

test('whatever sequences do: no block has two owners, none is lost, and the events tell a router exactly what is cached', () => {
  const command = fc.oneof(
    { weight: 5, arbitrary: fc.record({ type: fc.constant('start' as const), seed: fc.nat(2), shared: fc.nat(12), length: fc.integer({ min: 1, max: 20 }) }) },
    { weight: 4, arbitrary: fc.record({ type: fc.constant('finish' as const), pick: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('clear' as const) }) },
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 12 }), fc.array(command, { maxLength: 60 }), (poolBlocks, commands) => {
      const { blocks, events } = manager(poolBlocks);
      const running: number[][] = [];
      for (const step of commands) {
        if (step.type === 'clear') blocks.clear();
        else if (step.type === 'finish') {
          const [table] = running.splice(running.length ? step.pick % running.length : 0, 1);
          if (table) blocks.release(table);
        } else {
          const tokens = Int32Array.from({ length: step.length }, (_, i) => (i < step.shared ? i : i + 100 * step.seed));
          const identities = blocks.identify(tokens);
          const table = blocks.acquire(identities.slice(0, blocks.match(identities)));
          const cached = table.length;
          const own = blocks.allocate(Math.ceil(step.length / blockTokens) - cached);
          if (!own) {
            blocks.release(table);
            continue;
          }
          table.push(...own);
          blocks.store(table, cached, identities.slice(cached));
          expect(new Set(table).size).toBe(table.length);
          running.push(table);
        }
        // A block that is private to one sequence stands in no other's table.
        expect(blocks.usedBlocks).toBe(new Set(running.flat()).size);
        expect(blocks.usedBlocks + blocks.availableBlocks).toBe(poolBlocks);
      }
      const believed = replay(events);
      expect(events.map((event) => event.eventId)).toEqual(events.map((_, i) => i));
      expect(blocks.lastEventId).toBe(events.length - 1);
      expect(believed.size).toBe(blocks.cachedBlocks);
      expect(replay(blocks.dump())).toEqual(believed);
      for (const table of running) blocks.release(table);
      expect(blocks.availableBlocks).toBe(poolBlocks);
      expect(blocks.allocate(poolBlocks)).toHaveLength(poolBlocks);
      expect(blocks.cachedBlocks).toBe(0);
    }),
    { numRuns: 300 },
  );
});
