import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { EngineOutput, KvCacheEvent, PreprocessedRequest } from '../protocol/index.ts';
import { loadTextCodec, type TextCodec } from '../preprocess/index.ts';
import { createLlmEngine, type LlmEngine, type LlmEngineOptions } from './index.ts';
import { someTokens, temporaryTinyModel } from './testing/tinyModels.ts';

const files = temporaryTinyModel();
let codec: TextCodec;
const engines: LlmEngine[] = [];
beforeAll(async () => {
  codec = await loadTextCodec(files.dir);
});
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine[Symbol.asyncDispose]();
});
afterAll(() => files[Symbol.dispose]());

async function engineWith(options: Partial<LlmEngineOptions> = {}): Promise<LlmEngine> {
  const engine = await createLlmEngine({
    modelDir: files.dir,
    blocks: 64,
    blockTokens: 16,
    maxNumSeqs: 8,
    maxNumBatchedTokens: 64,
    enablePrefixCaching: true,
    threads: 1,
    textStream: () => codec.stream(),
    ...options,
  });
  engines.push(engine);
  return engine;
}

type Overrides = Partial<PreprocessedRequest['stop_conditions'] & PreprocessedRequest['sampling_options'] & PreprocessedRequest['output_options']>;

function request(tokens: number[], { max_tokens = 12, temperature = 0, logprobs, top_p, top_k, seed, ...stop }: Overrides = {}): PreprocessedRequest {
  return {
    request_id: 'test',
    model: 'tiny',
    token_ids: tokens,
    stop_conditions: { max_tokens, ignore_eos: true, ...stop },
    sampling_options: { temperature, ...(top_p !== undefined && { top_p }), ...(top_k !== undefined && { top_k }), ...(seed !== undefined && { seed }) },
    output_options: { ...(logprobs !== undefined && { logprobs }) },
  };
}

interface Answer {
  tokens: number[];
  items: EngineOutput[];
  last: EngineOutput;
}
async function answer(engine: LlmEngine, of: PreprocessedRequest, signal = new AbortController().signal): Promise<Answer> {
  const items: EngineOutput[] = [];
  for await (const item of engine.generate(of, signal)) items.push(item);
  return { items, tokens: items.flatMap((item) => item.token_ids), last: items.at(-1)! };
}

describe('prefix cache', () => {
  test('the same prompt warm computes only its end and yields the same tokens', async () => {
    const engine = await engineWith();
    const prompt = someTokens(100);
    const cold = await answer(engine, request(prompt));
    const warm = await answer(engine, request(prompt));
    expect(warm.tokens).toEqual(cold.tokens);
    expect(cold.items[0]!.prompt).toMatchObject({ prompt_tokens: 100, cached_tokens: 0, computed_tokens: 100 });
    expect(warm.items[0]!.prompt).toMatchObject({ prompt_tokens: 100, cached_tokens: 96, computed_tokens: 4, cached_blocks: 6 });
    expect(warm.last.finish_reason).toBe('length');
    expect(engine.stats()).toMatchObject({ promptTokens: 200, cachedTokens: 96, generatedTokens: 24, usedBlocks: 0, running: 0, waiting: 0 });
  });

  test('a prompt of whole blocks still computes its last block, for the logits', async () => {
    const engine = await engineWith();
    const prompt = someTokens(64);
    const cold = await answer(engine, request(prompt));
    const warm = await answer(engine, request(prompt));
    expect(warm.items[0]!.prompt).toMatchObject({ cached_tokens: 48, computed_tokens: 16 });
    expect(warm.tokens).toEqual(cold.tokens);
  });

  test('an answer is cached as it grows, so that a conversation continues from it', async () => {
    const engine = await engineWith();
    const prompt = someTokens(40);
    const first = await answer(engine, request(prompt, { max_tokens: 24 }));
    const second = await answer(engine, request([...prompt, ...first.tokens, ...someTokens(5, 9)]));
    expect(second.items[0]!.prompt!.cached_tokens).toBe(48); // 63 of 64 tokens have KV: the last drawn one never went through the model
  });

  test('events have ids without gaps, the dump equals what they say, and clearing is an event', async () => {
    const engine = await engineWith();
    const events: KvCacheEvent[] = [];
    using subscription = engine.onKvEvent((event) => events.push(event));
    void subscription;
    await answer(engine, request(someTokens(80)));
    await answer(engine, request(someTokens(80, 8)));
    expect(events.map((event) => event.eventId)).toEqual(events.map((_, i) => i));
    const hashes = (list: KvCacheEvent[]): bigint[] => list.flatMap(({ data }) => (data.type === 'stored' ? data.blocks.map((block) => block.blockHash) : []));
    expect(hashes(engine.dumpKvEvents()).toSorted()).toEqual(hashes(events).toSorted());
    const cached = engine.stats().cachedBlocks;
    expect(cached).toBe(10);
    expect(await engine.clearPrefixCache()).toBe(cached);
    expect(events.at(-1)!.data).toEqual({ type: 'cleared' });
    expect(engine.dumpKvEvents()).toEqual([]);
    expect((await answer(engine, request(someTokens(80)))).items[0]!.prompt!.cached_tokens).toBe(0);
  });

  test('without prefix caching there are neither hits nor events', async () => {
    const engine = await engineWith({ enablePrefixCaching: false });
    const events: KvCacheEvent[] = [];
    engine.onKvEvent((event) => events.push(event));
    await answer(engine, request(someTokens(80)));
    expect((await answer(engine, request(someTokens(80)))).items[0]!.prompt!.cached_tokens).toBe(0);
    expect(events).toEqual([]);
  });
});

describe('batching', () => {
  test('answers do not depend on what else runs, on the step size or on preemption', async () => {
    const prompts = Array.from({ length: 6 }, (_, i) => someTokens(20 + i * 13, i + 1));
    const alone = await engineWith();
    const expected: number[][] = [];
    for (const prompt of prompts) expected.push((await answer(alone, request(prompt, { max_tokens: 40 }))).tokens);

    for (const options of [{}, { maxNumBatchedTokens: 9 }, { blocks: 10 }, { blocks: 10, enablePrefixCaching: false }] satisfies Partial<LlmEngineOptions>[]) {
      const engine = await engineWith(options);
      const together = await Promise.all(prompts.map((prompt) => answer(engine, request(prompt, { max_tokens: 40 }))));
      expect(together.map((result) => result.tokens)).toEqual(expected);
      if (options.blocks) expect(engine.stats().preemptions).toBeGreaterThan(0);
      expect(engine.stats()).toMatchObject({ usedBlocks: 0, running: 0, waiting: 0 });
    }
  });

  test('a seeded draw is a function of seed and position, whatever the batch', async () => {
    const engine = await engineWith();
    const sampled = (seed: number): PreprocessedRequest => request(someTokens(30), { temperature: 1, top_p: 0.9, top_k: 40, seed, max_tokens: 30 });
    const first = await answer(engine, sampled(5));
    const [again, other] = await Promise.all([answer(engine, sampled(5)), answer(engine, sampled(6))]);
    expect(again.tokens).toEqual(first.tokens);
    expect(other.tokens).not.toEqual(first.tokens);
  });
});

describe('the end of an answer', () => {
  test('end-of-sequence, stop tokens and min_tokens', async () => {
    const engine = await engineWith();
    const free = await answer(engine, request(someTokens(50), { max_tokens: 30 }));
    const stopToken = free.tokens[5]!;
    const at = free.tokens.indexOf(stopToken);
    const stopped = await answer(engine, request(someTokens(50), { max_tokens: 30, stop_token_ids: [stopToken] }));
    expect(stopped.tokens).toEqual(free.tokens.slice(0, at + 1));
    expect(stopped.last.finish_reason).toBe('stop');
    const later = await answer(engine, request(someTokens(50), { max_tokens: 30, stop_token_ids: [stopToken], min_tokens: 20 }));
    expect(later.tokens.length).toBeGreaterThanOrEqual(20);
    expect(later.tokens.slice(0, 20)).not.toContain(stopToken);
  });

  test('a stop string ends the work at the token that completes it', async () => {
    const engine = await engineWith();
    const free = await answer(engine, request(someTokens(50), { max_tokens: 30 }));
    const stream = codec.stream();
    const texts = free.tokens.map((token) => stream.push([token]));
    const at = texts.findIndex((text, i) => i > 2 && text.length > 1);
    const stopped = await answer(engine, request(someTokens(50), { max_tokens: 30, stop: [texts[at]!] }));
    expect(stopped.last.finish_reason).toBe('stop');
    expect(stopped.tokens.length).toBeLessThanOrEqual(at + 1);
    expect(codec.decode(stopped.tokens)).toContain(texts[at]!);
  });

  test('log-probabilities: the drawn token leads the alternatives when greedy, and they are a distribution', async () => {
    const engine = await engineWith();
    const { items } = await answer(engine, request(someTokens(20), { logprobs: 5, max_tokens: 4 }));
    for (const item of items) {
      expect(item.top_logprobs![0]).toHaveLength(5);
      expect(item.top_logprobs![0]![0]).toEqual({ token_id: item.token_ids[0], logprob: item.log_probs![0] });
      expect(item.top_logprobs![0]!.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0)).toBeLessThanOrEqual(1 + 1e-5);
    }
  });

  test('cancelling ends the stream and gives the blocks back, running or waiting', async () => {
    const engine = await engineWith({ maxNumSeqs: 1 });
    const [running, waiting] = [new AbortController(), new AbortController()];
    const long = (seed: number): PreprocessedRequest => request(someTokens(30, seed), { max_tokens: 900 });
    const results = [answer(engine, long(1), running.signal), answer(engine, long(2), waiting.signal)];
    await answer(engine, request([], {})); // one refused request later both are in the engine
    running.abort();
    waiting.abort();
    for (const result of await Promise.all(results)) expect(result.last.finish_reason).toBe('cancelled');
    expect(engine.stats()).toMatchObject({ usedBlocks: 0, running: 0, waiting: 0 });
  });

  test('leaving the loop cancels', async () => {
    const engine = await engineWith();
    for await (const item of engine.generate(request(someTokens(30), { max_tokens: 900 }), new AbortController().signal)) if (item.prompt) break;
    await engine.clearPrefixCache(); // runs between steps: by then the request is gone
    expect(engine.stats()).toMatchObject({ usedBlocks: 0, running: 0 });
  });

  test('closing the engine ends every stream with an error', async () => {
    const engine = await engineWith();
    const pending = answer(engine, request(someTokens(30), { max_tokens: 900 }));
    await new Promise((resolve) => setImmediate(resolve));
    await engine[Symbol.asyncDispose]();
    expect((await pending).last.error!.code).toBe('ENGINE_CLOSED');
    expect((await answer(engine, request([1]))).last.error!.code).toBe('ENGINE_CLOSED');
  });
});

test('a request that cannot be served is refused with the numbers', async () => {
  const engine = await engineWith({ blocks: 8, maxModelLen: 4096 });
  const refusal = async (of: PreprocessedRequest): Promise<string> => {
    const { last } = await answer(engine, of);
    return `${last.finish_reason}: ${last.error?.code}: ${last.error?.message}`;
  };
  expect(engine.model.contextLength).toBe(128);
  expect(await refusal(request(someTokens(200)))).toMatch(/^error: PROMPT_TOO_LONG: .*200 tokens.*128 tokens/);
  expect(await refusal(request([512]))).toMatch(/INVALID_REQUEST: token_ids holds 512, the vocabulary has 512/);
  expect(await refusal(request([]))).toMatch(/INVALID_REQUEST: token_ids is empty/);
  expect(await refusal(request([1], { max_tokens: 0 }))).toMatch(/max_tokens is 0/);
  expect(await refusal(request([1], { temperature: -1 }))).toMatch(/temperature is -1/);
  expect(await refusal(request([1], { top_p: 0 }))).toMatch(/top_p is 0/);
  const full = await answer(engine, request(someTokens(120), { max_tokens: 500 }));
  expect(full.tokens).toHaveLength(8);
  expect(full.last.finish_reason).toBe('length');
  await expect(
    createLlmEngine({
      ...({ modelDir: files.dir, blockTokens: 16, maxNumSeqs: 1, maxNumBatchedTokens: 1, enablePrefixCaching: true, threads: 1 } as const),
      blocks: 0,
    }),
  ).rejects.toThrow(/blocks is 0/);
});

test('steps that fail in a row are counted until one succeeds', async () => {
  const engine = await engineWith();
  const prompt = someTokens(100);
  await answer(engine, request(prompt));
  const bytes = new Uint8Array(engine.kvPool);
  bytes.fill(0xff); // every cached key and value is NaN
  for (const failures of [1, 2]) {
    const { last } = await answer(engine, request(prompt));
    expect(last.error).toMatchObject({ code: 'STEP_FAILED' });
    expect(engine.stats()).toMatchObject({ failedStepsInARow: failures, usedBlocks: 0, running: 0 });
  }
  bytes.fill(0);
  await engine.clearPrefixCache();
  expect((await answer(engine, request(prompt))).last.finish_reason).toBe('length');
  expect(engine.stats().failedStepsInARow).toBe(0);
});
