import fc from 'fast-check';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import type { EngineOutput, KvCacheEvent, PreprocessedRequest } from '../protocol/index.ts';
import { createLlmEngine, type LlmEngine, type LlmEngineOptions } from './index.ts';
import { someTokens, temporaryTinyModel } from './testing/tinyModels.ts';

const files = temporaryTinyModel();
afterAll(() => files[Symbol.dispose]());
const engines: LlmEngine[] = [];
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine[Symbol.asyncDispose]();
});
vi.setConfig({ testTimeout: 120_000 });
afterAll(() => vi.resetConfig());

async function engineWith(options: Partial<LlmEngineOptions>): Promise<{ engine: LlmEngine; events: KvCacheEvent[] }> {
  const engine = await createLlmEngine({
    modelDir: files.dir,
    blocks: 16,
    blockTokens: 16,
    maxNumSeqs: 4,
    maxNumBatchedTokens: 64,
    enablePrefixCaching: true,
    threads: 1,
    ...options,
  });
  engines.push(engine);
  const events: KvCacheEvent[] = [];
  engine.onKvEvent((event) => events.push(event));
  return { engine, events };
}

const request = (tokens: number[], max_tokens = 2): PreprocessedRequest => ({
  request_id: 'test',
  model: 'tiny',
  token_ids: tokens,
  stop_conditions: { max_tokens, ignore_eos: true },
  sampling_options: { temperature: 0 },
  output_options: { logprobs: 2 },
});

async function answer(engine: LlmEngine, of: PreprocessedRequest, signal = new AbortController().signal): Promise<EngineOutput[]> {
  const items: EngineOutput[] = [];
  for await (const item of engine.generate(of, signal)) items.push(item);
  return items;
}
const drawn = (items: EngineOutput[]) => items.map(({ token_ids, log_probs, top_logprobs }) => ({ token_ids, log_probs, top_logprobs }));

/** What a router knows from events: hashes per tier. */
function known(events: readonly KvCacheEvent[]): { device: Set<bigint>; host: Set<bigint> } {
  const tiers = { device: new Set<bigint>(), host: new Set<bigint>() };
  for (const { data, storageTier } of events) {
    const tier = storageTier === 'host_pinned' ? tiers.host : tiers.device;
    if (data.type === 'stored') {
      // A parent that no tier has would be an orphan to the router.
      if (data.parentHash !== undefined) expect(tiers.device.has(data.parentHash) || tiers.host.has(data.parentHash)).toBe(true);
      for (const { blockHash } of data.blocks) tier.add(blockHash);
    } else if (data.type === 'removed') for (const hash of data.blockHashes) expect(tier.delete(hash)).toBe(true);
    else {
      tiers.device.clear();
      tiers.host.clear();
    }
  }
  return tiers;
}

describe('host tier', () => {
  test('what the pool evicted comes back from the host, to the bit, and the account says so', async () => {
    const [{ engine, events }, { engine: large }] = [await engineWith({ hostBlocks: 64 }), await engineWith({ blocks: 256 })];
    const prompt = someTokens(150);
    const cold = await answer(engine, request(prompt));
    for (let i = 0; i < 4; i++) await answer(engine, request(someTokens(200, 20 + i)));
    const { device, host } = known(events);
    expect(device.size).toBe(engine.stats().cachedBlocks);
    expect(host.size).toBe(engine.stats().host!.usedBlocks);
    const warm = await answer(engine, request(prompt));
    expect(drawn(warm)).toEqual(drawn(cold));
    expect(drawn(warm)).toEqual(drawn(await answer(large, request(prompt))));
    expect(cold[0]!.prompt).not.toHaveProperty('host_cached_tokens');
    expect(warm[0]!.prompt).toMatchObject({ prompt_tokens: 150, cached_tokens: 144, host_cached_tokens: 144, computed_tokens: 6, cached_blocks: 9 });
    expect(engine.stats()).toMatchObject({ hostCachedTokens: 144, host: { onboardedBlocks: 9 } });
  });

  test('a prompt whose beginning is on the device and whose middle on the host takes both', async () => {
    const { engine } = await engineWith({ hostBlocks: 64, blocks: 12 });
    const prompt = someTokens(170);
    const cold = await answer(engine, request(prompt, 1));
    await answer(engine, request(someTokens(100, 9), 1)); // evicts the end of the first
    const warm = await answer(engine, request(prompt, 1));
    const { cached_tokens: cached, host_cached_tokens: onHost } = warm[0]!.prompt!;
    expect(cached).toBe(160);
    expect(onHost).toBeGreaterThan(0);
    expect(onHost).toBeLessThan(160);
    expect(drawn(warm)).toEqual(drawn(cold));
  });

  test('it is bounded, and clearing the cache clears it', async () => {
    const { engine, events } = await engineWith({ hostBlocks: 5 });
    for (let i = 0; i < 6; i++) await answer(engine, request(someTokens(200, 40 + i), 1));
    expect(engine.stats().host).toMatchObject({ totalBlocks: 5, usedBlocks: 5 });
    expect(known(events).host.size).toBe(5);
    await engine.clearPrefixCache();
    expect(engine.stats().host).toMatchObject({ usedBlocks: 0 });
    const again = await answer(engine, request(someTokens(200, 45), 1));
    expect(again[0]!.prompt!.cached_tokens).toBe(0);
  });

  test('without it, or without the prefix cache, there is none', async () => {
    expect((await engineWith({})).engine.stats()).not.toHaveProperty('host');
    expect((await engineWith({ hostBlocks: 8, enablePrefixCaching: false })).engine.stats()).not.toHaveProperty('host');
  });

  test('whatever is asked, at once and cancelled: the bits of an engine that never evicts, and events that are exactly what is kept', async () => {
    const { engine: large } = await engineWith({ blocks: 1024, maxNumSeqs: 8 });
    const bases = [0, 1, 2].map((base) => someTokens(300, 70 + base));
    const prompt = fc.record({
      base: fc.integer({ min: 0, max: 2 }),
      shared: fc.integer({ min: 0, max: 230 }),
      own: fc.integer({ min: 1, max: 40 }),
      seed: fc.integer({ min: 1, max: 5 }),
      cancel: fc.boolean(),
    });
    let onboarded = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(prompt, { minLength: 1, maxLength: 4 }), { minLength: 3, maxLength: 10 }),
        fc.integer({ min: 1, max: 40 }),
        async (rounds, hostBlocks) => {
          const { engine, events } = await engineWith({ blocks: 24, hostBlocks });
          for (const round of rounds) {
            await Promise.all(
              round.map(async ({ base, shared, own, seed, cancel }) => {
                const of = request([...bases[base]!.slice(0, shared), ...someTokens(own, seed)]);
                const stop = new AbortController();
                if (cancel) setImmediate(() => stop.abort());
                const items = await answer(engine, of, stop.signal);
                if (items.at(-1)!.finish_reason !== 'cancelled') expect(drawn(items)).toEqual(drawn(await answer(large, of)));
              }),
            );
          }
          const { device, host } = known(events);
          const stats = engine.stats();
          expect([device.size, host.size, stats.usedBlocks]).toEqual([stats.cachedBlocks, stats.host!.usedBlocks, 0]);
          expect(events.map(({ eventId }) => eventId)).toEqual(events.map((_, i) => i));
          const dump = known(engine.dumpKvEvents());
          expect(dump.device).toEqual(device);
          for (const hash of dump.host) expect(host.has(hash)).toBe(true);
          onboarded += stats.host!.onboardedBlocks;
          engines.splice(engines.indexOf(engine), 1);
          await engine[Symbol.asyncDispose]();
        },
      ),
      { numRuns: 25, endOnFailure: true },
    );
    expect(onboarded).toBeGreaterThan(0);
  });
});
