import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LoopbackMap, takeSlot } from './loopbackMap.ts';

const byte = fc.integer({ min: 0, max: 255 });

describe('the loopback map', () => {
  test('is a bijection between the pod network and part of 127/8', () => {
    const inNetwork = fc.oneof(
      fc.tuple(byte, byte).map(([c, d]) => `10.244.${c}.${d}`),
      fc.tuple(byte, byte).map(([c, d]) => `10.96.${c}.${d}`),
      byte.map((d) => `10.240.0.${d}`),
    );
    fc.assert(
      fc.property(inNetwork, fc.integer({ min: 0, max: 63 }), (ip, slot) => {
        const map = new LoopbackMap(slot, 0);
        const host = map.toHost(ip);
        expect(host).toMatch(/^127\.(\d+)\./);
        expect(Number(host.split('.')[1])).toBeGreaterThanOrEqual(64);
        expect(Number(host.split('.')[1])).toBeLessThanOrEqual(255);
        expect(map.toPod(host)).toBe(ip);
        expect(map.toPod(`::ffff:${host}`)).toBe(ip);
        expect(new LoopbackMap((slot + 1) % 64, 0).toPod(host)).toBe(host);
      }),
    );
  });

  test('leaves other addresses alone and moves only low ports', () => {
    const map = new LoopbackMap(0, 61_000);
    for (const ip of ['127.0.0.1', '192.168.1.1', '10.1.2.3', '10.240.1.1', '8.8.8.8']) {
      expect(map.toHost(ip)).toBe(ip);
      expect(map.toPod(ip)).toBe(ip);
    }
    expect([53, 443, 1023, 1024, 8000, 0].map((port) => map.portToHost(port))).toEqual([61_053, 61_443, 62_023, 1024, 8000, 0]);
  });

  test('a slot is taken once, given back on close, and the preferred one is tried first', async () => {
    const first = await takeSlot(7);
    const second = await takeSlot(first.slot);
    expect(second.slot).not.toBe(first.slot);
    await new Promise((resolve) => first.lock.close(resolve));
    const third = await takeSlot(first.slot);
    expect(third.slot).toBe(first.slot);
    await Promise.all([second, third].map(({ lock }) => new Promise((resolve) => lock.close(resolve))));
  });
});
