import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { createLlmEngine, type LlmEngine } from '../engine/index.ts';
import { someTokens, temporaryTinyModel } from '../engine/testing/tinyModels.ts';
import type { EngineOutput, KvCacheEvent, PreprocessedRequest } from '../protocol/index.ts';
import { warmUp } from './warmUp.ts';

const files = temporaryTinyModel();
const engines: LlmEngine[] = [];
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine[Symbol.asyncDispose]();
});
afterAll(() => files[Symbol.dispose]());

async function newEngine(blocks: number, hostBlocks = 0): Promise<LlmEngine> {
  const engine = await createLlmEngine({
    modelDir: files.dir,
    blocks,
    blockTokens: 16,
    maxNumSeqs: 8,
    maxNumBatchedTokens: 64,
    enablePrefixCaching: true,
    threads: 1,
    hostBlocks,
  });
  engines.push(engine);
  return engine;
}

async function answer(engine: LlmEngine, tokens: number[]): Promise<EngineOutput[]> {
  const request: PreprocessedRequest = {
    request_id: 'real',
    model: 'tiny',
    token_ids: tokens,
    stop_conditions: { max_tokens: 6, ignore_eos: true },
    sampling_options: { temperature: 0 },
    output_options: {},
  };
  const items: EngineOutput[] = [];
  for await (const item of engine.generate(request, new AbortController().signal)) items.push(item);
  return items;
}

describe('warmUp', () => {
  it('leaves no trace: statistics, events and cache are as those of an engine that was not warmed up', async () => {
    const engine = await newEngine(64, 8);
    const fresh = engine.stats();
    const events: KvCacheEvent[] = [];
    engine.onKvEvent((event) => void events.push(event));
    await warmUp(engine);
    expect(engine.stats()).toEqual(fresh);
    expect(engine.stats()).toMatchObject({ steps: 0, usedBlocks: 0, cachedBlocks: 0, lastKvEventId: -1, computedTokens: 0 });
    expect(events).toEqual([]);
    expect(engine.dumpKvEvents()).toEqual([]);
  });

  it('has run the model, in the memory of the engine, and changes no answer', async () => {
    const [cold, warm] = [await newEngine(64), await newEngine(64)];
    await warmUp(warm);
    expect(new Uint8Array(warm.kvPool).some((byte) => byte !== 0)).toBe(true);
    const tokens = someTokens(50);
    const [expected, got] = [await answer(cold, tokens), await answer(warm, tokens)];
    expect(got.flatMap((item) => item.token_ids)).toEqual(expected.flatMap((item) => item.token_ids));
    expect(got[0]!.prompt).toMatchObject({ cached_tokens: 0, computed_tokens: 50 });
    expect(warm.stats()).toMatchObject({ promptTokens: 50, cachedTokens: 0, generatedTokens: 6 });
  });

  it('fits into the smallest pool', async () => {
    const engine = await newEngine(1);
    await warmUp(engine);
    expect((await answer(engine, someTokens(5))).at(-1)?.finish_reason).toBe('length');
  });

  it('ends when the worker is stopped', async () => {
    await expect(warmUp(await newEngine(64), AbortSignal.abort(new Error('stopped')))).rejects.toThrow('stopped');
  });
});
