import { Tokenizer } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { temporaryTinyModel } from '../engine/testing/tinyModels.ts';
import { PieceEncoder, type PieceTokenizerFile } from './pieceEncoder.ts';

const files = temporaryTinyModel();
afterAll(() => files[Symbol.dispose]());
const file = JSON.parse(readFileSync(path.join(files.dir, 'tokenizer.json'), 'utf8')) as PieceTokenizerFile;

/** As SmolLM2 cuts: digits alone, then GPT-2's pattern. */
const digitsFirst: PieceTokenizerFile = {
  ...file,
  pre_tokenizer: {
    type: 'Sequence',
    pretokenizers: [
      { type: 'Split', pattern: { Regex: String.raw`\p{N}` }, behavior: 'Isolated', invert: false } as never,
      { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
    ],
  },
};

describe.each([
  ['the tiny model', file],
  ['digits first, then GPT-2’s pattern', digitsFirst],
])('pieces of %s', (_, tokenizerFile) => {
  const whole = new Tokenizer({ ...tokenizerFile, added_tokens: [], post_processor: null }, { clean_up_tokenization_spaces: false });
  const encodeWhole = (text: string): number[] => (text === '' ? [] : whole.encode(text, { add_special_tokens: false }).ids);
  const pieces = PieceEncoder.of(tokenizerFile, encodeWhole)!;

  const word = fc.constantFrom(...['a', "don't", 'naïve', '12', '3', ' ', '  ', '\n', '\r\n', '\t', '🌊', '日本', '...', "'s", '٣', '\u0000', '\ud800', 'Ω']);
  test.each([
    ['words and blanks in any order', fc.array(word, { maxLength: 30 }).map((words) => words.join(''))],
    ['any text', fc.string({ unit: 'binary', maxLength: 60 })],
  ])('become what the whole text does: %s', (__, text) => {
    fc.assert(
      fc.property(text, (given) => {
        const expected = encodeWhole(given);
        expect(pieces.encode(given)).toEqual(expected);
        // Now from memory.
        expect(pieces.encode(given)).toEqual(expected);
      }),
      { numRuns: 2000 },
    );
  });

  test('long texts and many different words are no trouble', () => {
    const text = Array.from({ length: 40_000 }, (__, i) => ` word${i.toString(36)}`).join('');
    expect(pieces.encode(text)).toEqual(encodeWhole(text));
  });
});

test('tokenizers of another kind are left to the library', () => {
  const encode = (): number[] => [];
  expect(PieceEncoder.of({ ...file, normalizer: { type: 'NFC' } }, encode)).toBeUndefined();
  expect(PieceEncoder.of({ ...file, pre_tokenizer: { type: 'Whitespace' } }, encode)).toBeUndefined();
  expect(PieceEncoder.of({ ...file, pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true } }, encode)).toBeUndefined();
  expect(PieceEncoder.of({ ...file, model: { type: 'WordPiece' } }, encode)).toBeUndefined();
});
