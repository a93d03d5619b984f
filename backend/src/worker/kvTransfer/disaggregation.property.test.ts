import fc from 'fast-check';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { someTokens, temporaryTinyModel } from '../../engine/testing/tinyModels.ts';
import type { EngineOutput } from '../../protocol/index.ts';
import { answerOf, decodeRequest, disaggregated, drawn, prefillRequest, promptRequest, type TestWorker, testWorker } from './testing/prefillDecodePair.ts';

const files = temporaryTinyModel();
afterAll(() => files[Symbol.dispose]());
vi.setConfig({ testTimeout: 180_000 });
afterAll(() => vi.resetConfig());

/** Prompts that begin like others: a base text, how much of it, and an end of its own. */
const prompts = fc.record({
  base: fc.integer({ min: 0, max: 2 }),
  /** Short ones often, up to 4096 together with the end; whole blocks and one more often. */
  shared: fc.oneof(fc.integer({ min: 0, max: 70 }), fc.integer({ min: 0, max: 3500 }), fc.constantFrom(0, 64, 128, 512)),
  own: fc.oneof(fc.constantFrom(1, 2), fc.integer({ min: 1, max: 130 }), fc.integer({ min: 1, max: 590 })),
  seed: fc.integer({ min: 1, max: 1_000_000 }),
  temperature: fc.constantFrom(0, 0.8),
});
type Prompt = typeof prompts extends fc.Arbitrary<infer T> ? T : never;

const bases = [0, 1, 2].map((base) => someTokens(4096, 100 + base));
const tokensOf = ({ base, shared, own, seed }: Prompt): number[] => [...bases[base]!.slice(0, shared), ...someTokens(own, seed)];
const requestOf = (prompt: Prompt) => promptRequest(tokensOf(prompt), { max_tokens: 3, seed: prompt.seed, temperature: prompt.temperature });

async function empty(...workers: TestWorker[]): Promise<void> {
  await vi.waitFor(
    () => {
      for (const { engine } of workers)
        expect(engine.stats()).toMatchObject({ usedBlocks: 0, heldBlocks: 0, running: 0, waiting: 0, waitingForRemoteKvs: 0, failedStepsInARow: 0 });
    },
    { timeout: 10_000 },
  );
}

const roomy = (blockTokens: 8 | 16 | 32 | 64) => ({ modelDir: files.dir, blockTokens, blocks: (3 * 4224) / blockTokens });

describe.each([8, 16, 32, 64] as const)('blocks of %i tokens', (blockTokens) => {
  test('prefill here and decode there is one engine to the bit, whatever is shared, cached or under way', async () => {
    await using prefill = await testWorker('prefill', roomy(blockTokens));
    await using decode = await testWorker('decode', roomy(blockTokens));
    await using alone = await testWorker('decode', roomy(blockTokens));
    await fc.assert(
      fc.asyncProperty(fc.array(prompts, { minLength: 1, maxLength: 3 }), fc.boolean(), async (group, forget) => {
        if (forget) await decode.engine.clearPrefixCache();
        const expected = await Promise.all(group.map((prompt) => answerOf(alone, requestOf(prompt))));
        const got = await Promise.all(group.map((prompt) => disaggregated(prefill, decode, requestOf(prompt))));
        for (const [i, outputs] of got.entries()) {
          expect(drawn(outputs)).toEqual(drawn(expected[i]!));
          const { prompt, kv_transfer: transfer } = outputs[0]!;
          expect(prompt!.computed_tokens).toBe(1);
          expect(prompt!.cached_tokens + prompt!.transferred_tokens! + 1).toBe(tokensOf(group[i]!).length);
          expect(transfer!.bytes).toBe(transfer!.blocks * decode.engine.model.kvBytesPerBlock);
          expect(transfer!.blocks).toBe(Math.ceil((prompt!.prompt_tokens - 1) / blockTokens) - prompt!.cached_blocks);
        }
        await empty(prefill, decode);
      }),
      { numRuns: 8, endOnFailure: true },
    );
  });
});

test('whoever is cancelled, and when: both pools come back empty, and the others get their own answer', async () => {
  await using prefill = await testWorker('prefill', roomy(16));
  // 4 KiB chunks over TCP: transfers take long enough to be cancelled in.
  await using decode = await testWorker('decode', { ...roomy(16), settings: { transports: ['tcp'] } });
  await using alone = await testWorker('decode', roomy(16));
  const when = fc.record({ side: fc.constantFrom('prefill', 'between', 'decode', 'never'), afterMs: fc.double({ min: 0, max: 25, noNaN: true }) });
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(prompts, when), { minLength: 2, maxLength: 4 }), async (group) => {
      await decode.engine.clearPrefixCache();
      const runs = group.map(async ([prompt, { side, afterMs }]): Promise<EngineOutput[] | undefined> => {
        const stop = new AbortController();
        const request = requestOf(prompt);
        const cancelLater = async (): Promise<void> => {
          await sleep(afterMs);
          stop.abort();
        };
        const cancelling = side === 'prefill' ? cancelLater() : undefined;
        const first = (await answerOf(prefill, prefillRequest(request), stop.signal)).at(-1)!;
        await cancelling;
        const params = first.disaggregated_params?.kv_transfer_params;
        if (params === undefined) return undefined;
        if (side === 'prefill' || side === 'between') {
          if (params.grant !== undefined) prefill.connector.cancel(params.remote_request_id!);
          return undefined;
        }
        const waiting = side === 'decode' ? cancelLater() : undefined;
        const outputs = await answerOf(decode, decodeRequest(request, first), stop.signal);
        await waiting;
        return outputs;
      });
      for (const [i, outputs] of (await Promise.all(runs)).entries()) {
        if (outputs === undefined || outputs.at(-1)?.finish_reason === 'cancelled') continue;
        expect(drawn(outputs)).toEqual(drawn(await answerOf(alone, requestOf(group[i]![0]))));
      }
      await empty(prefill, decode);
    }),
    { numRuns: 20, endOnFailure: true },
  );
});

test('with pools too small for what is asked, host memory behind them, leases that expire and clients that leave: the right bits or a typed error', async () => {
  const small = { modelDir: files.dir, blockTokens: 16 as const, blocks: 40, maxNumSeqs: 4, hostBlocks: 30 };
  await using prefill = await testWorker('prefill', { ...small, settings: { leaseMs: 60 } });
  await using decode = await testWorker('decode', small);
  await using alone = await testWorker('decode', roomy(16));
  const short = fc.record({
    base: fc.integer({ min: 0, max: 2 }),
    shared: fc.integer({ min: 0, max: 300 }),
    own: fc.integer({ min: 1, max: 150 }),
    seed: fc.integer({ min: 1, max: 50 }),
    temperature: fc.constantFrom(0, 0.8),
  });
  const step = fc.record({ prompt: short, what: fc.constantFrom('both', 'both', 'both', 'late', 'leave', 'local'), afterMs: fc.integer({ min: 0, max: 20 }) });
  const seen = { right: 0, failed: 0, cancelled: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 8 }), async (steps) => {
      await Promise.all(
        steps.map(async ({ prompt, what, afterMs }) => {
          const request = requestOf(prompt);
          const stop = new AbortController();
          if (what === 'leave') setTimeout(() => stop.abort(), afterMs);
          let outputs: EngineOutput[];
          if (what === 'local') outputs = await answerOf(decode, request);
          else {
            const first = (await answerOf(prefill, prefillRequest(request), stop.signal)).at(-1)!;
            if (first.disaggregated_params === undefined) return void seen.cancelled++;
            if (what === 'late') await sleep(90);
            outputs = await answerOf(decode, decodeRequest(request, first), stop.signal);
          }
          const { error, finish_reason: finish } = outputs.at(-1)!;
          if (finish === 'cancelled') seen.cancelled++;
          else if (error !== undefined) {
            seen.failed++;
            expect([outputs.length, error.code]).toEqual([1, 'KV_TRANSFER_FAILED']);
            expect(outputs[0]!.kv_transfer!.error!.code).toBe('EXPIRED');
          } else {
            seen.right++;
            expect(drawn(outputs)).toEqual(drawn(await answerOf(alone, request)));
          }
        }),
      );
      await empty(prefill, decode);
    }),
    { numRuns: 30, endOnFailure: true },
  );
  expect(seen.right).toBeGreaterThan(0);
  expect(prefill.engine.stats().host!.onboardedBlocks + decode.engine.stats().host!.onboardedBlocks).toBeGreaterThan(0);
});

const faultKinds = ['reset', 'half_close', 'truncate', 'flip', 'duplicate', 'reorder', 'refuse', 'wrong_epoch', 'expire', 'delay'] as const;

describe.each([false, true])('with seeded faults, recompute: %s', (recompute) => {
  test('every answer is the right one or a typed error', async () => {
    await using alone = await testWorker('decode', roomy(16));
    const fault = fc.record({
      kind: fc.constantFrom(...faultKinds),
      side: fc.constantFrom('read' as const, 'serve' as const),
      afterBytes: fc.integer({ min: 0, max: 100_000 }),
      times: fc.integer({ min: 1, max: 3 }),
      ms: fc.constant(5),
    });
    let effects = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fault, { minLength: 1, maxLength: 3 }),
        fc.array(prompts, { minLength: 1, maxLength: 3 }),
        fc.integer(),
        async (plan, group, seed) => {
          const faults = (side: 'read' | 'serve') => {
            const own = plan.filter((one) => one.side === side);
            return own.length > 0 ? { enable: true as const, seed: Math.abs(seed), plan: own } : undefined;
          };
          await using prefill = await testWorker('prefill', { ...roomy(16), settings: { faults: faults('serve') } });
          await using decode = await testWorker('decode', {
            ...roomy(16),
            recompute,
            settings: { transports: ['tcp'], faults: faults('read'), readMs: 4_000 },
          });
          for (const prompt of group) {
            const outputs = await disaggregated(prefill, decode, requestOf(prompt));
            const { error } = outputs.at(-1)!;
            if (error !== undefined) {
              expect([recompute, outputs.length, error.code]).toEqual([false, 1, 'KV_TRANSFER_FAILED']);
              expect(outputs[0]!.token_ids).toEqual([]);
            } else expect(drawn(outputs)).toEqual(drawn(await answerOf(alone, requestOf(prompt))));
          }
          effects += prefill.connector.faultEffects + decode.connector.faultEffects;
          await empty(prefill, decode);
        },
      ),
      { numRuns: 15, endOnFailure: true },
    );
    // The faults did something: otherwise this test proves nothing about them.
    expect(effects).toBeGreaterThan(0);
  });
});
