import type { KvTransferParams, PreprocessedRequest } from '../../protocol/index.ts';
import { describe, expect, test, vi } from 'vitest';
import { someTokens, temporaryTinyModel } from '../../engine/testing/tinyModels.ts';
import { openWorkers } from './testing/openWorkers.ts';
import { answerOf, decodeRequest, disaggregated, drawn, prefillRequest, promptRequest, testWorker } from './testing/prefillDecodePair.ts';

const { open, worker, empty } = openWorkers();

describe('prefill here, decode there', () => {
  test('the decode worker reads the blocks, computes the last token, and draws the same bits', async () => {
    const [prefill, decode, alone] = [await worker('prefill'), await worker('decode'), await worker('decode')];
    const request = promptRequest(someTokens(100));
    const expected = await answerOf(alone, request);
    const [first, ...more] = await answerOf(prefill, prefillRequest(request));
    expect(more).toEqual([]);
    expect(first).toMatchObject({
      finish_reason: 'length',
      prompt: { prompt_tokens: 100, computed_tokens: 100 },
      disaggregated_params: { kv_transfer_params: { do_remote_prefill: true, remote_num_tokens: 99, tp_size: 1, remote_host: '127.0.0.1' } },
    });
    expect(prefill.engine.stats()).toMatchObject({ heldBlocks: 7, usedBlocks: 7 });
    const outputs = await answerOf(decode, decodeRequest(request, first!));
    expect(drawn(outputs)).toEqual(drawn(expected));
    const blockBytes = decode.engine.model.kvBytesPerBlock;
    expect(outputs[0]).toMatchObject({
      prompt: { prompt_tokens: 100, cached_tokens: 0, transferred_tokens: 99, computed_tokens: 1 },
      kv_transfer: { status: 'ok', transport: 'shm', blocks: 7, block_bytes: blockBytes, bytes: 7 * blockBytes, tokens: 99 },
    });
    await empty(prefill, decode);
    expect(prefill.connector.state(0)).toMatchObject({ grants: { open: 0, released: 1, expired: 0 } });
  });

  test('warm on the decode side only what is missing moves; the rest is cached and told to the router', async () => {
    const [prefill, decode] = [await worker('prefill'), await worker('decode')];
    const request = promptRequest(someTokens(100), { max_tokens: 1 });
    const cold = await disaggregated(prefill, decode, request);
    expect(decode.events.flatMap(({ data }) => (data.type === 'stored' ? data.blocks : []))).toHaveLength(6);
    const warm = await disaggregated(prefill, decode, request);
    expect(drawn(warm)).toEqual(drawn(cold));
    expect(warm[0]).toMatchObject({
      prompt: { prompt_tokens: 100, cached_tokens: 96, transferred_tokens: 3, computed_tokens: 1 },
      kv_transfer: { blocks: 1, bytes: decode.engine.model.kvBytesPerBlock },
    });
    await empty(prefill, decode);
  });

  test('without prefix caches every block moves every time, and none is kept', async () => {
    const [prefill, decode] = [await worker('prefill', { enablePrefixCaching: false }), await worker('decode', { enablePrefixCaching: false })];
    const request = promptRequest(someTokens(100));
    const [once, again] = [await disaggregated(prefill, decode, request), await disaggregated(prefill, decode, request)];
    expect(drawn(again)).toEqual(drawn(once));
    for (const [first] of [once, again]) expect(first).toMatchObject({ prompt: { cached_tokens: 0, transferred_tokens: 99 }, kv_transfer: { blocks: 7 } });
    expect(decode.events).toEqual([]);
    await empty(prefill, decode);
  });

  test('the longest prompt that fits, into a pool that holds nothing else', async () => {
    const [prefill, decode, alone] = [await worker('prefill', { blocks: 13 }), await worker('decode', { blocks: 13 }), await worker('decode')];
    const request = promptRequest(someTokens(13 * 16 - 1), { max_tokens: 1 });
    const outputs = await disaggregated(prefill, decode, request);
    expect(drawn(outputs)).toEqual(drawn(await answerOf(alone, request)));
    await empty(prefill, decode);
  });

  test('more answers than the pool has room for: each is right, whoever had to give up blocks in between', async () => {
    const [prefill, decode, alone] = [await worker('prefill'), await worker('decode', { blocks: 20, maxNumSeqs: 4 }), await worker('decode', { blocks: 512 })];
    const requests = Array.from({ length: 10 }, (_, i) => promptRequest(someTokens(60 + 7 * i, 80 + i), { max_tokens: 60, request_id: `r${i}` }));
    const answers = await Promise.all(requests.map((request) => disaggregated(prefill, decode, request)));
    for (const [i, outputs] of answers.entries()) {
      expect(drawn(outputs)).toEqual(drawn(await answerOf(alone, requests[i]!)));
      expect(outputs[0]!.prompt!.computed_tokens).toBe(1);
    }
    expect(decode.engine.stats().preemptions).toBeGreaterThan(0);
    await empty(prefill, decode);
  });

  test.each([1, 2, 15, 16, 17, 32, 33])('a prompt of %i tokens', async (length) => {
    const [prefill, decode, alone] = [await worker('prefill'), await worker('decode'), await worker('decode')];
    const request = promptRequest(someTokens(length, 3));
    const outputs = await disaggregated(prefill, decode, request);
    expect(drawn(outputs)).toEqual(drawn(await answerOf(alone, request)));
    expect(outputs[0]).toMatchObject({
      prompt: { transferred_tokens: length - 1, computed_tokens: 1 },
      kv_transfer: { status: 'ok', blocks: Math.ceil((length - 1) / 16) },
    });
    await empty(prefill, decode);
  });
});

test('a prefill worker that leaves waits until what it granted has been read, but not for ever', async () => {
  const [prefill, decode] = [await worker('prefill'), await worker('decode')];
  expect(await prefill.connector.idle(1)).toBe(true);
  const request = promptRequest(someTokens(100));
  const [first] = await answerOf(prefill, prefillRequest(request));
  expect(await prefill.connector.idle(5)).toBe(false);
  const idle = prefill.connector.idle(30_000);
  await answerOf(decode, decodeRequest(request, first!));
  expect(await idle).toBe(true);
});

describe('leases', () => {
  test('blocks of an expired lease are never read: a typed error, in the words of the seeds, and both pools empty', async () => {
    const prefill = await worker('prefill', { settings: { leaseMs: 40 } });
    const decode = await worker('decode');
    const request = promptRequest(someTokens(100), { request_id: 'late' });
    const [first] = await answerOf(prefill, prefillRequest(request));
    await empty(prefill);
    expect(prefill.log.join('')).toContain('Releasing expired KV blocks for request late which were retrieved by 0 decode worker(s) within 0.04 seconds.');
    const outputs = await answerOf(decode, decodeRequest(request, first!));
    expect(outputs).toMatchObject([
      { token_ids: [], finish_reason: 'error', error: { code: 'KV_TRANSFER_FAILED' }, kv_transfer: { status: 'failed', error: { code: 'EXPIRED' } } },
    ]);
    expect(outputs[0]!.error!.message).toMatch(/KV transfer from \d+-prefill over \w+ failed in phase \w+ after 0 of \d+ bytes: EXPIRED/);
    await empty(decode);
    expect(prefill.connector.state(0)).toMatchObject({ grants: { open: 0, expired: 1, released: 0 } });
  });

  test('a request that waits for room at the decode worker keeps its lease by heartbeats', async () => {
    const prefill = await worker('prefill', { settings: { leaseMs: 700 } });
    const decode = await worker('decode', { blocks: 12 });
    await answerOf(decode, prefillRequest(promptRequest(someTokens(120, 9), { request_id: 'in the way' })));
    const request = promptRequest(someTokens(100));
    const [first] = await answerOf(prefill, prefillRequest(request));
    const waiting = answerOf(decode, decodeRequest(request, first!));
    await new Promise((resolve) => setTimeout(resolve, 2_200)); // more than three leases
    expect(decode.engine.stats()).toMatchObject({ waiting: 1, heldBlocks: 8 });
    expect(decode.connector.cancel('in the way')).toBe(true);
    expect((await waiting)[0]).toMatchObject({ kv_transfer: { status: 'ok', blocks: 7 } });
    await empty(prefill, decode);
  });

  test('with the policy recompute the decode worker computes the prompt itself, and says so', async () => {
    const prefill = await worker('prefill', { settings: { leaseMs: 40 } });
    const [decode, alone] = [await worker('decode', { recompute: true }), await worker('decode')];
    const request = promptRequest(someTokens(100));
    const [first] = await answerOf(prefill, prefillRequest(request));
    await empty(prefill);
    const outputs = await answerOf(decode, decodeRequest(request, first!));
    expect(drawn(outputs)).toEqual(drawn(await answerOf(alone, request)));
    expect(outputs[0]).toMatchObject({
      prompt: { transferred_tokens: 0, computed_tokens: 100 },
      kv_transfer: { status: 'failed', bytes: 0, error: { code: 'EXPIRED' } },
    });
    await empty(decode);
  });

  test('held blocks are never written: others wait for room, are preempted and evicted around them, and go on when they are released', async () => {
    const prefill = await worker('prefill', { blocks: 16 });
    const decode = await worker('decode', { blocks: 64 });
    const held = promptRequest(someTokens(150, 21));
    const [first] = await answerOf(prefill, prefillRequest(held));
    const blocks = first!.disaggregated_params!.kv_transfer_params.remote_block_ids!;
    expect(blocks).toHaveLength(10);
    const bytesOf = (): Buffer[] =>
      blocks.map((id) => Buffer.from(new Uint8Array(prefill.engine.kvPool, id * prefill.engine.model.kvBytesPerBlock, prefill.engine.model.kvBytesPerBlock)));
    const before = bytesOf();
    for (let i = 0; i < 8; i++) await answerOf(prefill, promptRequest(someTokens(60, 30 + i)));
    await Promise.all([40, 41, 42].map((seed) => answerOf(prefill, promptRequest(someTokens(50, seed)))));
    // 10 of 16 blocks are held: this one needs 9.
    const waiting = answerOf(prefill, promptRequest(someTokens(140, 50), { max_tokens: 1 }));
    const stats = () => prefill.engine.stats();
    await vi.waitFor(() => expect(stats().waiting).toBe(1));
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(stats()).toMatchObject({ waiting: 1, running: 0, heldBlocks: 10 });
    expect(Buffer.concat(bytesOf()).equals(Buffer.concat(before))).toBe(true);
    const outputs = await answerOf(decode, decodeRequest(held, first!));
    expect(outputs[0]).toMatchObject({ kv_transfer: { status: 'ok', blocks: 10 } });
    expect((await waiting).at(-1)).toMatchObject({ finish_reason: 'length' });
    await empty(prefill, decode);
  });

  test('two prompts that begin alike hold their common blocks together; the first release does not take them from the second', async () => {
    const [prefill, decode] = [await worker('prefill'), await worker('decode')];
    const [a, b] = [promptRequest(someTokens(97), { request_id: 'a' }), promptRequest([...someTokens(96), 5, 6, 7], { request_id: 'b' })];
    const [firstA] = await answerOf(prefill, prefillRequest(a));
    const [firstB] = await answerOf(prefill, prefillRequest(b));
    expect(prefill.engine.stats().heldBlocks).toBe(7);
    expect(prefill.connector.cancel('a')).toBe(true);
    expect(prefill.connector.cancel('a')).toBe(false);
    expect(prefill.engine.stats().heldBlocks).toBe(7);
    for (let i = 0; i < 10; i++) await answerOf(prefill, promptRequest(someTokens(200, 60 + i)));
    expect((await answerOf(decode, decodeRequest(b, firstB!)))[0]).toMatchObject({ kv_transfer: { status: 'ok', blocks: 7 } });
    // Its blocks are cached here by now: there is nothing that could not be read any more.
    expect((await answerOf(decode, decodeRequest(a, firstA!)))[0]).toMatchObject({ kv_transfer: { status: 'ok', transport: 'none', blocks: 0, bytes: 0 } });
    await empty(prefill, decode);
  });

  test('a client that leaves during the read gets its blocks freed only when nothing is written to them any more', async () => {
    const stall = { enable: true as const, seed: 1, plan: [{ kind: 'stall' as const, side: 'read' as const, afterBytes: 40_000, ms: 60_000 }] };
    const prefill = await worker('prefill');
    const decode = await worker('decode', { settings: { transports: ['tcp'], faults: stall } });
    const request = promptRequest(someTokens(200));
    const [first] = await answerOf(prefill, prefillRequest(request));
    const stop = new AbortController();
    const answer = answerOf(decode, decodeRequest(request, first!), stop.signal);
    await vi.waitFor(() => expect(decode.connector.faultEffects).toBe(1));
    expect(decode.engine.stats()).toMatchObject({ waitingForRemoteKvs: 1, usedBlocks: 13 });
    // Others are served meanwhile.
    expect(await answerOf(decode, promptRequest(someTokens(40, 9)))).toHaveLength(6);
    stop.abort();
    expect((await answer).at(-1)).toMatchObject({ finish_reason: 'cancelled' });
    await empty(prefill, decode);
  });

  test('a read has its own deadline', async () => {
    const stall = { enable: true as const, seed: 1, plan: [{ kind: 'stall' as const, side: 'read' as const, afterBytes: 0, ms: 60_000 }] };
    const prefill = await worker('prefill');
    const decode = await worker('decode', { settings: { transports: ['tcp'], faults: stall, readMs: 100 } });
    const outputs = await disaggregated(prefill, decode, promptRequest(someTokens(200)));
    expect(outputs).toMatchObject([{ error: { code: 'KV_TRANSFER_FAILED' }, kv_transfer: { error: { code: 'DEADLINE' } } }]);
    await empty(prefill, decode);
  });
});

test('a grant that is none, or of somebody else, is a typed error and leaves nothing behind', async () => {
  const [prefill, decode] = [await worker('prefill'), await worker('decode')];
  const request = promptRequest(someTokens(100));
  const tampering: ((grant: Record<string, unknown>) => void)[] = [
    (grant) => void (grant['epoch'] = '12'),
    (grant) => void (grant['agent'] = 'nobody'),
    (grant) => void (grant['addresses'] = []),
    (grant) => void (grant['ref'] = { ...(grant['ref'] as object), id: 12_345 }),
    (grant) => void (grant['ref'] = { ...(grant['ref'] as object), pool: 99 }),
    (grant) => void (grant['blockBytes'] = 8),
    (grant) => void (grant['blocks'] = 'all'),
    (grant) => void (grant['ref'] = null),
  ];
  for (const tamper of tampering) {
    const [first] = await answerOf(prefill, prefillRequest(request));
    const asked = decodeRequest(request, first!);
    const params = asked.prefill_result!.disaggregated_params.kv_transfer_params;
    tamper(params.grant as Record<string, unknown>);
    expect(await answerOf(decode, asked)).toMatchObject([{ token_ids: [], error: { code: 'KV_TRANSFER_FAILED' } }]);
    prefill.connector.cancel(params.remote_request_id!);
    await empty(prefill, decode);
  }
});

test('blocks of another shape or model are refused before anything is read, with both values', async () => {
  const other = temporaryTinyModel({ architecture: 'qwen3' });
  try {
    const [prefill, small, foreign] = [
      await worker('prefill'),
      await worker('decode', { blockTokens: 8 }),
      await testWorker('decode', { modelDir: other.dir }),
    ];
    open.push(foreign);
    const request = promptRequest(someTokens(100));
    const [first] = await answerOf(prefill, prefillRequest(request));
    const asked = decodeRequest(request, first!);
    expect(prefill.connector.incompatibility(asked)).toBeUndefined();
    expect(small.connector.incompatibility(asked)).toMatch(/block_size is 16 there and 8 here; block_bytes is \d+ there and \d+ here/);
    expect(foreign.connector.incompatibility(asked)).toMatch(/model is \w+ there and \w+ here/);
    const changed = (change: (params: KvTransferParams, request: PreprocessedRequest) => void): string | undefined => {
      const copy = structuredClone(asked);
      change(copy.prefill_result!.disaggregated_params.kv_transfer_params, copy);
      return prefill.connector.incompatibility(copy);
    };
    expect(changed(() => {})).toBeUndefined();
    expect(changed((params) => void (params.remote_num_tokens = 100))).toContain('computed 100 tokens');
    expect(changed((params) => void params.remote_block_ids!.pop())).toContain('offers 6 blocks for 99 tokens');
    expect(changed((params) => void params.remote_block_ids!.reverse())).toContain('the grant is not about the blocks');
    expect(changed((params) => void delete params.grant)).toContain('the grant is not about the blocks');
    expect(changed((params) => void (params.grant = { blocks: 'aaaaaaa' }))).toContain('the grant is not about the blocks');
    expect(changed((params) => void delete params.compatibility)).toContain('lack');
    expect(changed((_, { token_ids }) => void (token_ids[98] = 7))).toContain("another prompt's tokens");
    expect(changed((_, { token_ids }) => void (token_ids[99] = 7))).toBeUndefined();
  } finally {
    other[Symbol.dispose]();
  }
});
