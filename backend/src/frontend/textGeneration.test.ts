import { describe, expect, it } from 'vitest';
import { characterCodec, outputsOf } from './frontendFixture.ts';
import { TextGeneration, type TextDelta } from './textGeneration.ts';

async function run(texts: string[], stop: string[] = [], logprobs = false) {
  const generation = new TextGeneration({ codec: characterCodec, outputs: outputsOf(texts), stop, promptTokens: 1, logprobs });
  const deltas: TextDelta[] = [];
  for await (const delta of generation.deltas()) deltas.push(delta);
  return { deltas, usage: generation.usage, text: deltas.map(({ text }) => text).join(''), finish: deltas.at(-1)?.finishReason };
}

describe('TextGeneration', () => {
  it('gives the text in pieces, then why it ended, and accounts for it', async () => {
    const { text, finish, usage } = await run(['He', 'llo', '!']);
    expect([text, finish]).toEqual(['Hello!', 'length']);
    expect(usage).toMatchObject({ promptTokens: 1, completionTokens: 6, account: { computed_tokens: 1 } });
    expect(usage.ttftMs).toBeGreaterThanOrEqual(0);
  });

  it('ends at a stop string, also one over two outputs or in the last one', async () => {
    expect(await run(['one tw', 'o three'], ['two'])).toMatchObject({ text: 'one ', finish: 'stop' });
    expect(await run(['one', ' two'], ['two'])).toMatchObject({ text: 'one ', finish: 'stop' });
  });

  it('shows what was held back when no stop string came of it', async () => {
    expect(await run(['one tw'], ['two'])).toMatchObject({ text: 'one tw', finish: 'length' });
  });

  it('names each token when log probabilities are asked for', async () => {
    const { deltas } = await run(['ab'], [], true);
    expect(deltas.flatMap(({ tokens }) => tokens).map(({ token, tokenId }) => [token, tokenId])).toEqual([
      ['a', 97],
      ['b', 98],
    ]);
  });
});
