import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import { someTokens, temporaryTinyModel } from '../../engine/testing/tinyModels.ts';
import {
  answerOf,
  decodeRequest,
  disaggregated,
  drawn,
  prefillRequest,
  promptRequest,
  type TestWorker,
  testWorker,
  type TestWorkerOptions,
} from './testing/prefillDecodePair.ts';

const files = temporaryTinyModel();
afterAll(() => files[Symbol.dispose]());
const open: TestWorker[] = [];
afterEach(async () => {
  for (const worker of open.splice(0)) await worker[Symbol.asyncDispose]();
});

async function worker(mode: 'prefill' | 'decode', options: Omit<TestWorkerOptions, 'modelDir'> = {}): Promise<TestWorker> {
  const made = await testWorker(mode, { modelDir: files.dir, ...options });
  open.push(made);
  return made;
}

async function empty(...workers: TestWorker[]): Promise<void> {
  await vi.waitFor(() => {
    for (const { engine } of workers) expect(engine.stats()).toMatchObject({ usedBlocks: 0, heldBlocks: 0, running: 0, waiting: 0, waitingForRemoteKvs: 0 });
  });
}

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
