import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StopMatcher } from './stopMatcher.ts';

function run(pieces: string[], stops: string[]): { text: string; stopped: boolean } {
  const matcher = new StopMatcher(stops);
  let text = '';
  for (const piece of pieces) {
    const out = matcher.push(piece);
    text += out.text;
    if (out.stopped) return { text, stopped: true };
  }
  return { text: text + matcher.end(), stopped: false };
}

describe('StopMatcher', () => {
  it('finds a stop string across pieces and shows nothing of it', () => {
    expect(run(['Hello wo', 'rld. EN', 'D more'], ['END'])).toEqual({ text: 'Hello world. ', stopped: true });
    expect(run(['EN', 'DLESS'], ['END!'])).toEqual({ text: 'ENDLESS', stopped: false });
  });

  it('equals searching the whole text, however it is cut', () => {
    const text = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 40 }).map((letters) => letters.join(''));
    const stops = fc.array(
      fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 4 }).map((letters) => letters.join('')),
      { maxLength: 3 },
    );
    fc.assert(
      fc.property(text, stops, fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1 }), (whole, words, sizes) => {
        const pieces: string[] = [];
        for (let at = 0, i = 0; at < whole.length; i++) {
          const size = sizes[i % sizes.length] ?? 1;
          pieces.push(whole.slice(at, at + size));
          at += size;
        }
        const out = run(pieces, words);
        const found = words.map((word) => whole.indexOf(word)).filter((at) => at >= 0);
        expect(out.stopped).toBe(found.length > 0);
        if (!out.stopped) expect(out.text).toBe(whole);
        else expect(whole.startsWith(out.text) && words.some((word) => whole.slice(out.text.length).startsWith(word))).toBe(true);
      }),
    );
  });
});
