import { createXXHash3 } from 'hash-wasm';
import { describe, expect, it } from 'vitest';
import { InvalidBlockSizeError, initBlockHash, localBlockHashes, sequenceHashes } from './blockHash.ts';
import { xxh3 } from './xxh3.ts';

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

describe('xxh3', () => {
  it('equals the reference for every length up to 300 and around each internal boundary, with and without seed', async () => {
    const bytes = Uint8Array.from(range(0, 5000), (i) => (i * 2654435761) >>> 11);
    const lengths = [...range(0, 300), 511, 512, 513, 1023, 1024, 1025, 1087, 1088, 1089, 2047, 2048, 2049, 4999];
    for (const seed of [0n, 1n, 1337n, 0x8000000080000001n, 0xffffffffffffffffn]) {
      const reference = await createXXHash3(Number(seed & 0xffffffffn), Number(seed >> 32n));
      for (const length of lengths) {
        const input = bytes.subarray(0, length);
        const expected = BigInt(`0x${reference.init().update(input).digest('hex')}`);
        expect(xxh3(input, seed), `length ${length}, seed ${seed}`).toBe(expected);
      }
    }
  });
});

describe('block hashes: golden vectors of Dynamo', () => {
  it('tokens 1..12 in blocks of 4', async () => {
    await initBlockHash();
    const local = localBlockHashes(range(1, 13), 4);
    expect([...local]).toEqual([14643705804678351452n, 16777012769546811212n, 483935686894639516n]);
    expect([...sequenceHashes(local)]).toEqual([14643705804678351452n, 4945711292740353085n, 12583592247330656132n]);
  });

  it('tokens 0..63 in blocks of 16 (Dynamo 1.6.1 `compute_block_hash_for_seq`) and of 64', () => {
    expect([...localBlockHashes(range(0, 64), 16)]).toEqual([15310707395893867146n, 15292316782987903195n, 5532946206955930018n, 14928757266181269122n]);
    expect([...localBlockHashes(range(0, 64), 64)]).toEqual([3480597578098033343n]);
  });

  it('LoRA name and cache namespace change the seed', () => {
    expect(localBlockHashes([1, 2, 3, 4], 4, { loraName: 'my-lora' })[0]).toBe(15671544057904749233n);
    expect(localBlockHashes(range(0, 64), 16, { cacheSalt: 'tenant1' })[0]).toBe(0x7d42ebfe87f7ad0dn);
    expect([...localBlockHashes(range(0, 16), 16, { loraName: '', cacheSalt: '' })]).toEqual([15310707395893867146n]);
  });

  it('ignores a partial tail', () => {
    expect([...localBlockHashes(range(0, 31), 16)]).toEqual([15310707395893867146n]);
    expect(localBlockHashes(range(0, 15), 16)).toHaveLength(0);
    expect(sequenceHashes([])).toHaveLength(0);
  });

  it('continues a sequence from a parent', () => {
    const local = localBlockHashes(range(1, 13), 4);
    const whole = sequenceHashes(local);
    expect([...sequenceHashes(local.subarray(1), whole[0])]).toEqual([...whole.subarray(1)]);
  });

  it('refuses a block size that is no positive integer', () => {
    for (const blockSize of [0, -1, 1.5, Number.NaN]) {
      expect(() => localBlockHashes([1, 2, 3], blockSize)).toThrow(InvalidBlockSizeError);
    }
  });
});
