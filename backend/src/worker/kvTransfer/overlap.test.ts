import { describe, expect, test, vi } from 'vitest';
import { someTokens } from '../../engine/testing/tinyModels.ts';
import { openWorkers } from './testing/openWorkers.ts';
import { fetchRequest, overlapped } from './testing/overlappedPair.ts';
import { answerOf, drawn, prefillRequest, promptRequest } from './testing/prefillDecodePair.ts';

/** Prompts are computed 32 tokens at a time, and offered as they are. */
const { open, worker, empty } = openWorkers({ defaults: (mode) => ({ prefillChunkTokens: 32, overlap: mode === 'prefill' }), emptyMs: 10_000 });

const stall = { enable: true as const, seed: 1, plan: [{ kind: 'stall' as const, side: 'read' as const, afterBytes: 0, ms: 60_000 }] };

describe('blocks travel while the rest of the prompt is computed', () => {
  test.each(['shm', 'tcp'] as const)('over %s: only what the last chunk added is left to be read; the same bits, each block moved once', async (transport) => {
    const [prefill, decode, alone] = [await worker('prefill'), await worker('decode', { settings: { transports: [transport] } }), await worker('decode')];
    const request = promptRequest(someTokens(200));
    const { outputs, fetches } = await overlapped(prefill, decode, request);
    expect(drawn(outputs)).toEqual(drawn(await answerOf(alone, request)));
    const ahead = fetches.reduce((sum, { output }) => sum + output!.kv_transfer!.blocks, 0);
    expect(ahead).toBeGreaterThanOrEqual(2);
    const blockBytes = decode.engine.model.kvBytesPerBlock;
    expect(outputs[0]).toMatchObject({
      prompt: { prompt_tokens: 200, cached_tokens: 0, cached_blocks: 0, transferred_tokens: 199, computed_tokens: 1 },
      kv_transfer: {
        status: 'ok',
        transport,
        blocks: 13,
        bytes: 13 * blockBytes,
        tokens: 199,
        overlapped: { blocks: ahead, bytes: ahead * blockBytes, tokens: ahead * 16, reads: fetches.length },
      },
    });
    expect(prefill.connector.stats.releasedRequests).toBe(1);
    expect(decode.engine.stats()).toMatchObject({ transferredTokens: 199, cachedTokens: 0 });
    await empty(prefill, decode);
  });

  test('where the decode worker has the beginning, only the rest moves; where it has all, nothing', async () => {
    const [prefill, decode, alone] = [await worker('prefill'), await worker('decode'), await worker('decode')];
    const start = someTokens(64);
    await answerOf(decode, promptRequest(start, { max_tokens: 1 }));
    const request = promptRequest([...start, ...someTokens(100, 5)]);
    const { outputs, fetches } = await overlapped(prefill, decode, request);
    expect(drawn(outputs)).toEqual(drawn(await answerOf(alone, request)));
    expect(fetches[0]?.output?.kv_transfer).toMatchObject({ status: 'ok', blocks: 0, transport: 'none' });
    expect(outputs[0]).toMatchObject({ prompt: { cached_tokens: 64, transferred_tokens: 99, computed_tokens: 1 }, kv_transfer: { blocks: 7, tokens: 99 } });
    const again = await overlapped(prefill, decode, request);
    expect(drawn(again.outputs)).toEqual(drawn(outputs));
    expect(again.outputs[0]!.kv_transfer!.overlapped).toBeUndefined();
    await empty(prefill, decode);
  });

  test('where all of it was read ahead, nothing is left but to say so, over TCP too', async () => {
    const tcp = { settings: { listen: ['tcp:127.0.0.1:0'] } };
    const [prefill, decode] = [await worker('prefill', tcp), await worker('decode', tcp)];
    // One token on its own in the last chunk.
    const { outputs } = await overlapped(prefill, decode, promptRequest(someTokens(33)));
    expect(outputs[0]).toMatchObject({ prompt: { transferred_tokens: 32 }, kv_transfer: { transport: 'tcp', blocks: 2, overlapped: { blocks: 2 } } });
    await empty(prefill, decode);
    expect(prefill.connector.state(0)).toMatchObject({ grants: { open: 0, early: 0, released: 1 } });
  });

  test('a beginning that the prefill worker has cached is offered with the first chunk', async () => {
    const [prefill, decode] = [await worker('prefill'), await worker('decode')];
    const start = someTokens(96);
    await answerOf(prefill, promptRequest(start, { max_tokens: 1 }));
    const { fetches } = await overlapped(prefill, decode, promptRequest([...start, ...someTokens(100, 5)]));
    expect(fetches[0]?.early.disaggregated_params?.kv_transfer_params).toMatchObject({ remote_num_tokens: 128, remote_prefill_in_progress: true });
    await empty(prefill, decode);
  });

  test('a prompt of one chunk, and a worker that was not asked to, offer nothing', async () => {
    const [prefill, silent] = [await worker('prefill'), await worker('prefill', { overlap: false })];
    expect(await answerOf(prefill, prefillRequest(promptRequest(someTokens(32))))).toHaveLength(1);
    expect(await answerOf(silent, prefillRequest(promptRequest(someTokens(200))))).toHaveLength(1);
    expect(prefill.connector.cancel('r') && silent.connector.cancel('r')).toBe(true);
    await empty(prefill, silent);
  });
});

describe('what goes wrong between the chunks', () => {
  test('an offer that nobody takes ends by itself, and holds back neither the prompt nor its blocks', async () => {
    const [prefill, decode, alone] = [await worker('prefill', { settings: { leaseMs: 100 } }), await worker('decode'), await worker('decode')];
    const request = promptRequest(someTokens(200));
    const { outputs, fetches } = await overlapped(prefill, decode, request, { fetch: () => false });
    expect(fetches.length).toBeGreaterThan(0);
    expect(drawn(outputs)).toEqual(drawn(await answerOf(alone, request)));
    expect(outputs[0]!.kv_transfer).toMatchObject({ blocks: 13 });
    await empty(prefill, decode);
    expect(prefill.log.join('')).not.toContain('Releasing expired');
  });

  test('a decode worker without room, or where others wait, reads nothing ahead; the prompt is read when it has been computed', async () => {
    const [prefill, decode, alone] = [await worker('prefill'), await worker('decode', { blocks: 14 }), await worker('decode')];
    await answerOf(decode, prefillRequest(promptRequest(someTokens(200, 9), { request_id: 'in the way' })));
    const request = promptRequest(someTokens(180), { max_tokens: 1 });
    const refused = { token_ids: [], finish_reason: 'error', error: { code: 'NO_ROOM' } };
    const waiting: Promise<unknown>[] = [];
    const { outputs, fetches } = await overlapped(prefill, decode, request, {
      fetch: (index) => {
        // One block would be free.
        if (index === 1) waiting.push(answerOf(decode, promptRequest(someTokens(40, 2), { max_tokens: 1 })));
        return true;
      },
      computed: async () => expect(decode.connector.cancel('in the way')).toBe(true),
    });
    expect(fetches.length).toBeGreaterThan(1);
    for (const { output } of fetches) expect(output).toMatchObject(refused);
    expect(drawn(outputs)).toEqual(drawn(await answerOf(alone, request)));
    expect(outputs[0]!.kv_transfer).toMatchObject({ status: 'ok', blocks: 12 });
    await Promise.all(waiting);
    await empty(prefill, decode);
  });

  test('the client leaves between chunks, a read on its way: blocks of both workers are free when it has settled', async () => {
    const [prefill, decode] = [await worker('prefill'), await worker('decode', { settings: { transports: ['tcp'], faults: stall } })];
    const request = promptRequest(someTokens(600, 4));
    const stop = new AbortController();
    const outputs = prefill.engine.generate(prefillRequest(request), stop.signal)[Symbol.asyncIterator]();
    const { value: early } = await outputs.next();
    const fetch = answerOf(decode, fetchRequest(request, early!), stop.signal);
    await vi.waitFor(() => expect(decode.connector.faultEffects).toBe(1));
    expect(decode.engine.stats()).toMatchObject({ waitingForRemoteKvs: 1 });
    stop.abort();
    while (!(await outputs.next()).done);
    prefill.connector.cancel(request.request_id); // as the endpoint does where the prompt was quicker
    expect((await fetch).at(-1)).toMatchObject({ finish_reason: 'cancelled' });
    await empty(prefill, decode);
  });

  test('the prefill worker dies between chunks: what was read stays as cache, what was not is free, and the answer is the same', async () => {
    const [prefill, decode, alone] = [await worker('prefill'), await worker('decode'), await worker('decode')];
    const request = promptRequest(someTokens(300, 4));
    const outputs = prefill.engine.generate(prefillRequest(request), new AbortController().signal)[Symbol.asyncIterator]();
    const { value: early } = await outputs.next();
    expect((await answerOf(decode, fetchRequest(request, early!))).at(-1)).toMatchObject({ kv_transfer: { status: 'ok', blocks: 2 } });
    const { value: second } = await outputs.next();
    open.splice(open.indexOf(prefill), 1);
    await prefill[Symbol.asyncDispose]();
    expect(await answerOf(decode, fetchRequest(request, second!))).toMatchObject([
      { finish_reason: 'error', error: { code: 'KV_TRANSFER_FAILED' }, kv_transfer: { status: 'failed' } },
    ]);
    const answer = await answerOf(decode, request);
    expect(drawn(answer)).toEqual(drawn(await answerOf(alone, request)));
    expect(answer[0]).toMatchObject({ prompt: { cached_tokens: 32 } });
    await empty(decode);
  });

  test('what was read ahead and evicted since is read again, and counts once', async () => {
    const [prefill, decode, alone] = [await worker('prefill'), await worker('decode', { blocks: 16 }), await worker('decode')];
    const request = promptRequest(someTokens(200), { max_tokens: 1 });
    const { outputs, fetches } = await overlapped(prefill, decode, request, {
      computed: () => answerOf(decode, promptRequest(someTokens(150, 3), { max_tokens: 1 })),
    });
    const ahead = fetches.reduce((sum, { output }) => sum + output!.kv_transfer!.blocks, 0);
    const { prompt, kv_transfer: moved } = outputs[0]!;
    expect(moved!.overlapped!.blocks).toBeGreaterThan(0);
    expect(moved!.overlapped!.blocks).toBeLessThan(ahead);
    expect(moved).toMatchObject({ blocks: 13, tokens: 199, bytes: 13 * moved!.block_bytes });
    expect(prompt).toMatchObject({ cached_tokens: 0, transferred_tokens: 199, computed_tokens: 1 });
    expect(drawn(outputs)).toEqual(drawn(await answerOf(alone, request)));
    await empty(prefill, decode);
  });

  test.each([true, false])(
    'prompts that are preempted between chunks, prefix cache %s: their offered blocks are nobody’s before the reader is done',
    async (enablePrefixCaching) => {
      const prefill = await worker('prefill', { blocks: 26, maxNumSeqs: 4, enablePrefixCaching, settings: { leaseMs: 300 } });
      const [decode, alone] = [await worker('decode', { blocks: 128 }), await worker('decode', { blocks: 512 })];
      const requests = Array.from({ length: 8 }, (_, i) => promptRequest(someTokens(100 + 23 * i, 80 + i), { max_tokens: 3, request_id: `r${i}` }));
      // Only who goes on after the prompt takes blocks that others have.
      const busy = Promise.all([70, 71, 72].map((seed) => answerOf(prefill, promptRequest(someTokens(30, seed), { max_tokens: 150 }))));
      const answers = await Promise.all(requests.map((request, i) => overlapped(prefill, decode, request, { fetch: (index) => (i + index) % 3 > 0 })));
      await busy;
      expect(prefill.engine.stats().preemptions).toBeGreaterThan(0);
      for (const [i, { outputs }] of answers.entries()) expect(drawn(outputs)).toEqual(drawn(await answerOf(alone, requests[i]!)));
      await empty(prefill, decode);
    },
  );
});
