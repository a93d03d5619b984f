import { readFile } from 'node:fs/promises';
import { loadTextCodec } from '../../backend/src/preprocess/index.ts';
import { openEngineSession } from './engineSession.ts';
import type { Figure } from './figure.ts';

const text = new URL('engine-text.md', import.meta.url);
const longest = 1024;

/** What 8-bit activations cost: perplexity and the most likely next token on a text of our own, beside the f32 arithmetic on the same weights. */
export async function accuracyFigures(modelDir: string, signal: AbortSignal): Promise<Figure[]> {
  const codec = await loadTextCodec(modelDir);
  const tokens = codec.encode(await readFile(text, 'utf8')).slice(0, longest);
  const float = await predictions(modelDir, tokens, 'float', signal);
  const integer = await predictions(modelDir, tokens, 'int8', signal);
  const same = integer.best.filter((token, i) => token === float.best[i]).length / float.best.length;
  const change = (integer.perplexity / float.perplexity - 1) * 100;
  const about = `${tokens.length} tokens of engine-text.md`;
  return [
    { name: 'perplexity, f32 arithmetic', value: float.perplexity, unit: '', note: about },
    { name: 'perplexity, 8-bit activations', value: integer.perplexity, unit: '', note: `${change >= 0 ? '+' : ''}${change.toFixed(2)} % against f32` },
    { name: 'same most likely token as f32', value: same * 100, unit: '%', note: `${float.best.length} positions` },
  ];
}

async function predictions(modelDir: string, tokens: number[], matmul: 'int8' | 'float', signal: AbortSignal): Promise<{ perplexity: number; best: number[] }> {
  const session = await openEngineSession(modelDir, tokens.length, matmul);
  const best: number[] = [];
  let surprise = 0;
  try {
    await session.eachLogits(tokens, (position, logits) => {
      signal.throwIfAborted();
      const highest = logits.reduce((most, value, i) => (value > logits[most]! ? i : most), 0);
      best.push(highest);
      const next = tokens[position + 1];
      if (next === undefined) return;
      const total = logits.reduce((sum, value) => sum + Math.exp(value - logits[highest]!), 0);
      surprise += logits[highest]! + Math.log(total) - logits[next]!;
    });
  } finally {
    await session.close();
  }
  return { perplexity: Math.exp(surprise / (tokens.length - 1)), best };
}
