import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { temporaryTinyModel } from '../engine/testing/tinyModels.ts';
import { loadTextCodec, PromptEncoder, type TextCodec } from './index.ts';

const files = temporaryTinyModel();
let codec: TextCodec;
let encoder: PromptEncoder;
beforeAll(async () => {
  codec = await loadTextCodec(files.dir);
});
afterEach(() => encoder.close());
afterAll(() => files[Symbol.dispose]());

const messages = (length: number) => [{ role: 'user', content: `<|im_end|> ${'naïve 🌊 words '.repeat(length / 15)}` }];

test('short and long prompts become the same tokens as ever', async () => {
  encoder = new PromptEncoder({ dir: files.dir, codec, longPrompt: 500 });
  for (const length of [15, 5_000]) {
    expect(await encoder.encode({ messages: messages(length) })).toEqual(codec.tokenizeChat(messages(length)));
    const text = messages(length)[0]!.content;
    expect(await encoder.encode({ text })).toEqual(codec.encode(text));
  }
});

test('while a long prompt is tokenised, the event loop goes on', async () => {
  encoder = new PromptEncoder({ dir: files.dir, codec });
  await encoder.encode({ messages: messages(3_000) }); // the thread is up
  let done = false;
  let turns = 0;
  const encoding = encoder.encode({ messages: messages(300_000) }).finally(() => (done = true));
  while (!done) {
    turns++;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  expect((await encoding).length).toBeGreaterThan(100_000);
  // Held up, this loop would turn once.
  expect(turns).toBeGreaterThan(10);
});

test('a caller that leaves does not wait, and those behind it are answered', async () => {
  encoder = new PromptEncoder({ dir: files.dir, codec, longPrompt: 0 });
  const abort = new AbortController();
  const left = encoder.encode({ messages: messages(30_000) }, abort.signal);
  const next = encoder.encode({ text: 'x' });
  abort.abort(new Error('gone'));
  await expect(left).rejects.toThrow('gone');
  await expect(encoder.encode({ text: 'x' }, abort.signal)).rejects.toThrow('gone');
  expect(await next).toEqual(codec.encode('x'));
});

test('a refusal of the codec keeps its code, and a thread that ends is replaced', async () => {
  using strict = temporaryTinyModel();
  writeFileSync(path.join(strict.dir, 'chat_template.jinja'), "{{ raise_exception('roles must alternate') }}");
  encoder = new PromptEncoder({ dir: strict.dir, codec, longPrompt: 0 });
  await expect(encoder.encode({ messages: messages(15) })).rejects.toMatchObject({ code: 'BAD_CHAT_TEMPLATE', message: expect.stringContaining('alternate') });
  expect(await encoder.encode({ text: 'x' })).toEqual(codec.encode('x'));
  await encoder.close();
  encoder = new PromptEncoder({ dir: '/nowhere', codec, longPrompt: 0 });
  for (let i = 0; i < 2; i++) await expect(encoder.encode({ text: 'x' })).rejects.toThrow('/nowhere has no tokenizer.json');
});

test('closing ends what waits', async () => {
  encoder = new PromptEncoder({ dir: files.dir, codec, longPrompt: 0 });
  const waiting = encoder.encode({ messages: messages(30_000) });
  const closing = encoder.close();
  await expect(waiting).rejects.toThrow('the tokenizer is closed');
  await closing;
  await expect(encoder.encode({ text: 'x' })).rejects.toThrow('the tokenizer is closed');
});
