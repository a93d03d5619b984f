import { describe, expect, it } from 'vitest';
import { parsePromText, sumOf } from './promText.ts';

describe('parsePromText', () => {
  it('reads names, escaped labels, special values and timestamps, and passes over the rest', () => {
    const text = '# HELP x y\n# TYPE x counter\nx 1\nx{a="b\\"c\\n",d="e"} 2.5 1700000000\nbucket{le="+Inf"} +Inf\nnot a sample line at all {\n';
    expect(parsePromText(text)).toEqual([
      { name: 'x', labels: {}, value: 1 },
      { name: 'x', labels: { a: 'b"c\n', d: 'e' }, value: 2.5 },
      { name: 'bucket', labels: { le: '+Inf' }, value: Infinity },
    ]);
  });

  it('sums by labels and tells absence from zero', () => {
    const samples = parsePromText('hits{w="1"} 2\nhits{w="2"} 3\n');
    expect(sumOf(samples, 'hits')).toBe(5);
    expect(sumOf(samples, 'hits', { w: '2' })).toBe(3);
    expect(sumOf(samples, 'misses')).toBeUndefined();
  });
});
