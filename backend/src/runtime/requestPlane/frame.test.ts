import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeFrame, FrameDecoder, frameTypes, type FrameType } from './frame.ts';

describe('frames', () => {
  it('survive any cutting of the byte stream', () => {
    const frame = fc.record({
      type: fc.constantFrom<FrameType>(...Object.values(frameTypes)),
      stream: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      payload: fc.uint8Array({ maxLength: 200 }),
    });
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 12 }), fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 30 }), (frames, cuts) => {
        const bytes = Buffer.concat(frames.map(({ type, stream, payload }) => encodeFrame(type, stream, payload)));
        const decoder = new FrameDecoder(200);
        const decoded = [];
        for (let offset = 0, cut = 0; offset < bytes.length; cut++) {
          const size = cuts[cut % cuts.length] ?? 1;
          decoded.push(...decoder.push(bytes.subarray(offset, offset + size)));
          offset += size;
        }
        expect(decoded.map(({ type, stream, payload }) => ({ type, stream, payload: Uint8Array.from(payload) }))).toEqual(frames);
      }),
    );
  });

  it('are refused by their length before their bytes arrive', () => {
    const head = encodeFrame(frameTypes.data, 1, new Uint8Array(100)).subarray(0, 4);
    expect(() => new FrameDecoder(99).push(head)).toThrow('a frame of 100 bytes');
  });
});
