import { describe, expect, it } from 'vitest';
import { covers } from './applyChild.ts';

describe('covers', () => {
  it('ignores what the server and others added', () => {
    expect(covers({ a: 1, b: { c: [{ d: 1, e: 2 }] }, z: 0 }, { a: 1, b: { c: [{ d: 1 }] } })).toBe(true);
  });

  it.each([
    [{ a: 1 }, { a: 2 }],
    [{ a: 1 }, { a: 1, b: undefined, c: null }],
    [{ a: [1, 2] }, { a: [1] }],
    [{ a: null }, { a: {} }],
    [undefined, { a: 1 }],
  ])('notices %j ≠ %j', (live, desired) => {
    expect(covers(live, desired)).toBe(false);
  });
});
