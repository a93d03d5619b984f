import { describe, expect, it } from 'vitest';
import { ApproximateIndex } from './approximateIndex.ts';
import { MapPrefixIndex } from './mapPrefixIndex.ts';
import { prompt } from './routerFixture.ts';
import { type BlockHashes, TYPESCRIPT_KERNELS } from './routerKernels.ts';

const hashes = (blocks: number, from = 0): BlockHashes => TYPESCRIPT_KERNELS.hashBlocks(prompt(blocks, from), 4, {});

function overlaps(index: ApproximateIndex, asked: BlockHashes, now: number): number[] {
  const found = new Uint32Array(2);
  index.findMatches(asked.sequence, found, now);
  return [...found];
}

describe('ApproximateIndex', () => {
  it('believes a routed prompt cached until its time is over', () => {
    const index = new ApproximateIndex(new MapPrefixIndex(), { ttlMs: 100 });
    index.insert(0, hashes(3), 0);
    expect(overlaps(index, hashes(4), 99)).toEqual([3, 0]);
    expect(overlaps(index, hashes(4), 100)).toEqual([0, 0]);
    expect(index.blocks).toBe(0);
  });

  it('keeps what is used again, and the prefix of what is kept', () => {
    const index = new ApproximateIndex(new MapPrefixIndex(), { ttlMs: 100 });
    index.insert(0, hashes(4), 0);
    index.insert(0, hashes(2), 50);
    expect(overlaps(index, hashes(4), 120)).toEqual([2, 0]);
    expect(index.blocks).toBe(2);
  });

  it('drops the oldest above its bound, leaves before their prefix', () => {
    const index = new ApproximateIndex(new MapPrefixIndex(), { maxBlocks: 10, pruneTargetRatio: 0.5 });
    index.insert(0, hashes(6), 0);
    index.insert(1, hashes(6, 1000), 1);
    expect(index.blocks).toBe(5);
    expect(overlaps(index, hashes(6), 2)).toEqual([0, 0]);
    expect(overlaps(index, hashes(6, 1000), 2)).toEqual([0, 5]);
  });

  it('forgets a removed worker', () => {
    const index = new ApproximateIndex(new MapPrefixIndex());
    index.insert(0, hashes(3), 0);
    index.insert(1, hashes(3), 0);
    index.removeSlot(1);
    expect(index.blocks).toBe(3);
    expect(overlaps(index, hashes(3), 1)).toEqual([3, 0]);
  });
});
