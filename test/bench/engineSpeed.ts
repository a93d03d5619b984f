import { llamaCppFolder, loadLlamaCpp, type LlamaCpp } from '../peers/llamaCpp.ts';
import { openEngineSession } from './engineSession.ts';
import type { Figure } from './figure.ts';
import { median, minMax } from './spread.ts';

const decodeTokens = 32;
const repetitions: Record<number, number> = { 128: 9, 512: 5, 2048: 3, 8192: 2 };

interface Rates {
  prefill: number[];
  decode: number[];
}

/** Tokens per second of this process's CPU time, prefill and decode behind a prompt of each length; llama.cpp on the same file in turns. */
export async function speedFigures(modelDir: string, gguf: string, context: number, signal: AbortSignal, log: (line: string) => void): Promise<Figure[]> {
  const found = llamaCppFolder();
  if ('missing' in found) log(`without llama.cpp: ${found.missing}`);
  const ours = await openEngineSession(modelDir, context, 'int8');
  const theirs = 'missing' in found ? undefined : await loadLlamaCpp(found.folder, gguf, context);
  log(`kernels: ${ours.kernels}, one thread`);
  const figures: Figure[] = [];
  const wanted = process.env['DYNAMO_LABS_BENCH_LENGTHS']?.split(',').map(Number) ?? Object.keys(repetitions).map(Number);
  try {
    for (const length of wanted) {
      // The longest prompt leaves room for what is decoded.
      const prompt = someTokens(Math.min(length, context - decodeTokens - 1));
      const own: Rates = { prefill: [], decode: [] };
      const peer: Rates = { prefill: [], decode: [] };
      for (let repetition = 0; repetition < (repetitions[length] ?? 1); repetition += 1) {
        signal.throwIfAborted();
        own.prefill.push(prompt.length / (await cpuSeconds(() => ours.prefill(prompt))));
        own.decode.push(decodeTokens / (await cpuSeconds(() => ours.decode(prompt[0]!, prompt.length, decodeTokens))));
        if (theirs) await measurePeer(theirs, prompt, peer);
      }
      for (const phase of ['prefill', 'decode'] as const) figures.push(figure(`${phase}, ${length} tokens`, own[phase], theirs && peer[phase]));
    }
  } finally {
    await Promise.all([ours.close(), theirs?.close()]);
  }
  return figures;
}

async function measurePeer(peer: LlamaCpp, prompt: number[], rates: Rates): Promise<void> {
  rates.prefill.push(prompt.length / (await cpuSeconds(() => peer.prefill(prompt))));
  rates.decode.push(decodeTokens / (await cpuSeconds(() => peer.decode(prompt[0]!, decodeTokens))));
}

function figure(name: string, own: number[], peer: number[] | undefined): Figure {
  const value = median(own);
  const common = { name, value, unit: 'tokens/CPU-s', spread: minMax(own) };
  if (!peer) return { ...common, note: 'llama.cpp not installed' };
  const ratio = value / median(peer);
  const [low, high] = minMax(peer);
  return { ...common, peer: `llama.cpp [${low.toFixed(0)} … ${high.toFixed(0)}]`, ratio, goal: '≥ 1.0 × llama.cpp', ok: ratio >= 1 };
}

async function cpuSeconds(work: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

/** Ordinary tokens in no order: what they say does not matter for speed. */
function someTokens(count: number): number[] {
  let state = 7;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return 100 + ((state >>> 8) % 40_000);
  });
}
