import { describe, expect, test } from 'vitest';
import { podAddress } from './addressPlan.ts';
import { AddressPool } from './addressPool.ts';

describe('pod addresses', () => {
  test('are unique, within the range, never .0 or .255, and end', () => {
    const seen = new Set<string>();
    let index = 0;
    for (let ip = podAddress(index); ip !== undefined; ip = podAddress(++index)) {
      expect(seen.has(ip)).toBe(false);
      seen.add(ip);
      const [a, b, c, d] = ip.split('.').map(Number) as [number, number, number, number];
      expect([a, b]).toEqual([10, 244]);
      expect(c).toBeGreaterThanOrEqual(1);
      expect(d > 0 && d < 255).toBe(true);
    }
    expect(index).toBeGreaterThan(60_000);
  });

  test('go on where an earlier run stopped; released ones come back last', () => {
    const pool = new AddressPool(0);
    const first = pool.take();
    pool.release(first);
    const second = pool.take();
    expect(second).not.toBe(first);
    const next = new AddressPool(pool.cursor);
    next.reserve(second);
    expect([first, second]).not.toContain(next.take());
  });

  test('wrap around and say when none is left', () => {
    const last = new AddressPool(64_000);
    for (let i = 0; i < 2_000; i++) last.take();
    expect(last.cursor).toBeLessThan(64_000);
    const all = new AddressPool(0);
    expect(() => {
      for (;;) all.take();
    }).toThrow(/10\.244\.0\.0\/16 is in use/);
  });
});
