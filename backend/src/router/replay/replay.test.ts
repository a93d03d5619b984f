import { describe, expect, it } from 'vitest';
import { DEFAULT_TRACE, generateTrace, parseTrace, TraceFormatError, traceTokens } from './mooncakeTrace.ts';
import { replaySvg, replayTable, summarize } from './replayReport.ts';
import { simulate, type Simulation } from './simulate.ts';

const SHAPE = { blockSize: 64, blocks: 128, maxNumSeqs: 256, maxNumBatchedTokens: 8192 };
const trace = generateTrace({ ...DEFAULT_TRACE, requests: 120, inputTokens: 2048, groups: 12 });
const run = (mode: 'kv' | 'round-robin', more = {}): Simulation => simulate({ trace, workers: 4, shape: SHAPE, mode, ...more });

describe('Mooncake traces', () => {
  it('are read and expanded to tokens: equal ids, equal text', () => {
    const [first, second] = parseTrace(
      '{"timestamp":5,"input_length":700,"output_length":3,"hash_ids":[7,9]}\n\n{"timestamp":0,"input_length":512,"output_length":0,"hash_ids":[7]}',
    );
    expect(first).toEqual({ timestamp: 0, input_length: 512, output_length: 1, hash_ids: [7] });
    expect(traceTokens(second!, 512).subarray(0, 512)).toEqual(traceTokens(first!, 512));
    expect(traceTokens(second!, 512)).toHaveLength(700);
  });

  it.each([
    ['nonsense', /line 1: no JSON object/],
    ['{"timestamp":-1,"input_length":1,"output_length":1,"hash_ids":[1]}', /`timestamp`/],
    ['{"timestamp":0,"input_length":0,"output_length":1,"hash_ids":[]}', /`input_length`/],
    ['{"timestamp":0,"input_length":1,"output_length":1,"hash_ids":["a"]}', /`hash_ids`/],
    ['{"timestamp":0,"input_length":600,"output_length":1,"hash_ids":[1]}', /need 2/],
  ])('refuses %s with line and field', (text, message) => {
    expect(() => parseTrace(text)).toThrow(TraceFormatError);
    expect(() => parseTrace(text)).toThrow(message);
  });

  it('are generated from a seed', () => {
    expect(generateTrace(DEFAULT_TRACE)).toEqual(generateTrace(DEFAULT_TRACE));
    expect(generateTrace({ ...DEFAULT_TRACE, seed: 2n })).not.toEqual(generateTrace(DEFAULT_TRACE));
    const turns = generateTrace({ ...DEFAULT_TRACE, turns: 4 });
    expect(Math.max(...turns.map(({ hash_ids }) => hash_ids.length))).toBe(8 + 3);
    expect(parseTrace(turns.map((request) => JSON.stringify(request)).join('\n'))).toEqual(turns);
  });
});

describe('replay', () => {
  it('serves every request once, within the order of time', () => {
    const { requests, refused } = run('kv');
    expect({ served: requests.length, refused }).toEqual({ served: 120, refused: 0 });
    for (const { arrival, firstToken, end, cachedTokens, inputTokens } of requests) {
      expect(arrival).toBeLessThan(firstToken);
      expect(firstToken).toBeLessThanOrEqual(end);
      expect(cachedTokens).toBeLessThan(inputTokens);
    }
  });

  it('gives the same result for the same input', () => {
    expect(run('kv')).toEqual(run('kv'));
  });

  it('shows what KV-aware routing is for: more reuse and less waiting where caches are small', () => {
    const [kv, turns] = [summarize(run('kv'), 4), summarize(run('round-robin'), 4)];
    expect(kv.prefix_reuse_ratio).toBeGreaterThan(turns.prefix_reuse_ratio + 0.1);
    expect(kv.ttft_ms.mean).toBeLessThan(turns.ttft_ms.mean);
    expect(kv.by_worker.reduce((sum, count) => sum + count)).toBe(120);
  });

  it('refuses what no worker can hold', () => {
    expect(run('kv', { shape: { ...SHAPE, blocks: 20 } })).toMatchObject({ refused: 120, requests: [] });
  });

  it('prints a table and draws bars', () => {
    const summaries = [summarize(run('round-robin'), 4), summarize(run('kv'), 4)];
    expect(replayTable(summaries).split('\n')).toHaveLength(3);
    expect(replaySvg(summaries)).toMatch(/^<svg[^>]*>.*<\/svg>\n$/s);
    expect(replaySvg(summaries).match(/<rect/g)).toHaveLength(6);
  });
});
