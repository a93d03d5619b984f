import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, complete } from '../support/completions.ts';
import { randomTokens } from '../support/randomPrompts.ts';
import type { ServingProcess } from '../support/servingGroup.ts';

export interface LoadOptions {
  frontend: ServingProcess;
  model: string;
  random: () => number;
  /** Clients that stream one short request after another. */
  streams: number;
  /** Long prompts, one after another; undefined for none, then the load lasts `seconds`. */
  long?: { prompts: number; tokens: number; pauseMs: number };
  seconds?: number;
  signal: AbortSignal;
}

/** What clients saw, in milliseconds. */
export interface LoadSeen {
  /** Between two tokens of the short requests' answers. */
  itl: number[];
  shortTtft: number[];
  longTtft: number[];
  /** Output tokens of the short requests per second. */
  tokensPerSecond: number;
}

const shortPrompt = 48;
const shortAnswer = 48;

/** Streams short answers all the time while long prompts arrive. Prompts are random: nothing is cached. */
export async function servingLoad(options: LoadOptions): Promise<LoadSeen> {
  const { frontend, model, random, streams, long, seconds = 10, signal } = options;
  const seen: LoadSeen = { itl: [], shortTtft: [], longTtft: [], tokensPerSecond: 0 };
  let over = false;
  const began = performance.now();
  const short = async (): Promise<void> => {
    while (!over) {
      const { ttft, gaps } = await timed({ frontend, model, prompt: randomTokens(random, shortPrompt), maxTokens: shortAnswer, signal, until: () => over });
      if (ttft === undefined) continue;
      seen.shortTtft.push(ttft);
      seen.itl.push(...gaps);
    }
  };
  const clients = Promise.all(Array.from({ length: streams }, short));
  // Awaited below; a failure before that must not end the process and leave its workers behind.
  clients.catch(() => (over = true));
  if (long === undefined) await sleep(seconds * 1_000, undefined, { signal });
  else {
    // All streams run when the first long prompt comes.
    await sleep(1_000, undefined, { signal });
    for (let i = 0; i < long.prompts; i++) {
      const { ttft } = await timed({ frontend, model, prompt: randomTokens(random, long.tokens), maxTokens: 4, signal });
      if (ttft !== undefined) seen.longTtft.push(ttft);
      await sleep(long.pauseMs, undefined, { signal });
    }
  }
  over = true;
  const elapsed = performance.now() - began;
  await clients;
  seen.tokensPerSecond = ((seen.itl.length + seen.shortTtft.length) / elapsed) * 1_000;
  return seen;
}

interface Timed {
  ttft: number | undefined;
  gaps: number[];
  answer: Answer;
}

/** One streamed request. With `until`, what comes after it is true does not count. */
export async function timed(request: {
  frontend: ServingProcess;
  model: string;
  prompt: number[];
  maxTokens: number;
  signal: AbortSignal;
  until?: () => boolean;
}): Promise<Timed> {
  const { frontend, model, prompt, maxTokens, signal, until = () => false } = request;
  let gaps: number[] = [];
  let began = performance.now();
  let ttft: number | undefined;
  let last = 0;
  let tokens = 0;
  const body = { model, prompt, max_tokens: maxTokens, temperature: 0, ignore_eos: true, stream: true, logprobs: 0 };
  const onToken = (answer: Answer): void => {
    if (answer.tokens.length === tokens || until()) return;
    tokens = answer.tokens.length;
    const now = performance.now();
    if (ttft === undefined) ttft = now - began;
    else gaps.push(now - last);
    last = now;
  };
  let answer = await complete(frontend, body, { signal, onToken });
  // A machine so busy that a worker's lease ran out: nothing was measured, the worker is back in a moment.
  for (let again = 0; answer.error !== undefined && answer.status === 503 && again < 30; again++) {
    await sleep(1_000, undefined, { signal });
    gaps = [];
    began = performance.now();
    ttft = undefined;
    tokens = 0;
    answer = await complete(frontend, body, { signal, onToken });
  }
  if (answer.error !== undefined) throw new Error(`HTTP ${answer.status} ${answer.error.code}: ${answer.error.message}`);
  return { ttft, gaps, answer };
}
