import { describe, expect, it } from 'vitest';
import { conditionalDisaggDefaults, decidePrefillPlace, type ConditionalDisagg } from './conditionalDisagg.ts';
import { ConditionalDisaggSettings, InvalidConditionalDisaggError, parseConditionalDisagg } from './conditionalDisaggSettings.ts';

const remote = (policy: ConditionalDisagg['policy'], islTokens: number, decodeCachedTokens = 0, prefillQueueTokens = 0): boolean =>
  decidePrefillPlace({ ...conditionalDisaggDefaults, policy }, { islTokens, decodeCachedTokens, prefillQueueTokens }).remote;

describe('decidePrefillPlace', () => {
  it.each([
    // effective < 2048 and effective/raw < 0.7 stays.
    ['short and mostly cached', 100, 50, false],
    ['short, nothing cached', 100, 0, true],
    ['share exactly at the ratio', 1000, 300, true],
    ['share just below the ratio', 1000, 301, false],
    ['mostly cached, effective length exactly at the bound', 10_000, 7_952, true],
    ['mostly cached, effective length just below', 10_000, 7_953, false],
    ['all cached', 64, 64, false],
    ['more cached than asked for', 64, 80, false],
  ])('isl_bounding: %s', (_, isl, cached, expected) => {
    expect(remote('isl_bounding', isl, cached)).toBe(expected);
  });

  it('isl_bounding with a ratio of 1: the length alone decides', () => {
    const place = (islTokens: number): boolean =>
      decidePrefillPlace(
        { ...conditionalDisaggDefaults, policy: 'isl_bounding', max_local_prefill_ratio: 1 },
        { islTokens, decodeCachedTokens: 0, prefillQueueTokens: 0 },
      ).remote;
    expect([place(2), place(2_047), place(2_048)]).toEqual([false, false, true]);
  });

  it('prefill_load: local above the bound, remote at it', () => {
    expect([8_192, 8_193].map((queued) => remote('prefill_load', 5_000, 0, queued))).toEqual([true, false]);
    expect(remote('prefill_load', 5_000, 4_999, 0)).toBe(true);
  });

  it('isl_or_load: either reason is enough', () => {
    expect([remote('isl_or_load', 1000, 301, 0), remote('isl_or_load', 5_000, 0, 9_000), remote('isl_or_load', 5_000, 0, 0)]).toEqual([false, false, true]);
  });

  it('always_remote: always, but for a prompt of one token', () => {
    expect([remote('always_remote', 2, 2, 1e6), remote('always_remote', 1)]).toEqual([true, false]);
  });

  it('says every term', () => {
    const decision = decidePrefillPlace(
      { ...conditionalDisaggDefaults, policy: 'isl_or_load' },
      { islTokens: 1000, decodeCachedTokens: 400, prefillQueueTokens: 7 },
    );
    expect(decision).toMatchObject({ isl_tokens: 1000, decode_cached_tokens: 400, effective_isl_tokens: 600, prefill_queue_tokens: 7 });
    expect(decision.reason).toContain('600 of 1000 tokens are to be computed (60.0 %; local below 2048 tokens and 70 %)');
    expect(decision.reason).toContain('7 tokens are before it');
  });
});

describe('ConditionalDisaggSettings', () => {
  it('changes what is named, and nothing at all when anything is wrong', () => {
    const settings = new ConditionalDisaggSettings();
    expect(settings.current).toEqual({ policy: 'always_remote', ...conditionalDisaggDefaults });
    settings.change({ policy: 'isl_bounding', max_local_prefill_length: 512 });
    const before = settings.current;
    expect(before).toMatchObject({ policy: 'isl_bounding', max_local_prefill_length: 512, max_local_prefill_ratio: 0.7 });
    for (const [patch, param] of [
      [{ max_local_prefill_length: 1, max_local_prefill_ratio: 2 }, 'max_local_prefill_ratio'],
      [{ policy: 'sometimes' }, 'policy'],
      [{ max_local_prefil_length: 1 }, 'max_local_prefil_length'],
      [{ max_prefill_queue_tokens: '7' }, 'max_prefill_queue_tokens'],
      [{ max_local_prefill_length: 1.5 }, 'max_local_prefill_length'],
      [[], 'body'],
      [null, 'body'],
    ] as const) {
      expect(() => settings.change(patch)).toThrow(expect.objectContaining({ param }));
      expect(settings.current).toBe(before);
    }
  });

  it('reads JSON', () => {
    expect(parseConditionalDisagg('{"policy":"prefill_load"}')).toEqual({ policy: 'prefill_load' });
    expect(() => parseConditionalDisagg('{')).toThrow(InvalidConditionalDisaggError);
  });
});
