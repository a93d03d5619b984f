import { describe, expect, it } from 'vitest';
import type { EngineOutput, PreprocessedRequest } from '../protocol/index.ts';
import { ConnectionLostError, RemoteError, type RequestCall } from '../runtime/index.ts';
import { dispatchRoom, positions, prefilled, promptOf } from './dispatchFixture.ts';
import { requestOf } from './frontendFixture.ts';

const details = { plane: 'tcp', address: 'worker' };
const tokensOf = (outputs: EngineOutput[]): number[] => outputs.flatMap(({ token_ids }) => token_ids);
const answer = Array.from({ length: 8 }, (_, i) => 100 + i);
const request = (): PreprocessedRequest => requestOf(promptOf(100));

/** A prefill worker that offers so many tokens as they are computed, each when `next` says so. */
async function* offering(tokens: number[], asked: PreprocessedRequest, next: (index: number) => Promise<unknown>): AsyncIterable<EngineOutput> {
  for (const [index, remote_num_tokens] of tokens.entries()) {
    const compatibility = { model: 'm', dtype: 'float16', block_size: 16, block_bytes: 10, layout: 'l', tp_size: 1 };
    const kv_transfer_params = { do_remote_prefill: true, remote_prefill_in_progress: true, remote_num_tokens, remote_request_id: 'early', compatibility };
    yield { token_ids: [], disaggregated_params: { worker_id: '11', kv_transfer_params } };
    await next(index);
  }
  yield* prefilled(asked, 11);
}

async function* fetched(blocks: number): AsyncIterable<EngineOutput> {
  const counts = { blocks, block_bytes: 10, bytes: blocks * 10, tokens: blocks * 16, wait_us: 0, transfer_us: 50, retries: 0, resumed: false };
  yield { token_ids: [], finish_reason: 'length', kv_transfer: { status: 'ok', transport: 'tcp', ...counts } };
}

async function* broken(error: Error): AsyncIterable<EngineOutput> {
  yield* [];
  throw error;
}

interface Room {
  offers?: number[];
  fetch: (id: number, asked: PreprocessedRequest, call: RequestCall) => AsyncIterable<EngineOutput>;
  next?: (index: number) => Promise<unknown>;
}
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));
const room = ({ offers = [32, 64], fetch, next = turn }: Room) =>
  dispatchRoom({
    onDisaggFailure: 'fallback',
    worker: (id, asked, call) => (call.endpoint === 'fetch_kv_blocks' ? fetch(id, asked, call) : id > 10 ? offering(offers, asked, next) : positions(asked)),
  });

describe('EarlyTransfer', () => {
  it('has the decode worker read what is offered while the prompt is computed, and tells it so when it hands over', async () => {
    const { dispatch, requests, running } = await room({ fetch: () => fetched(2) });
    const { outputs, record } = await dispatch({ request: request() });
    expect(tokensOf(outputs)).toEqual(answer);
    expect(record).toMatchObject({ path: 'disaggregated', status: 'ok' });
    const [prefill, first, second, decode] = requests.calls.map(({ payload, endpoint, address }) => ({
      endpoint,
      address,
      ...(payload as PreprocessedRequest),
    }));
    expect(requests.calls).toHaveLength(4);
    expect(prefill).toMatchObject({ kv_transfer_params: { do_remote_decode: true } });
    expect(first).toMatchObject({ endpoint: 'fetch_kv_blocks', token_ids: promptOf(33) });
    expect(first?.prefill_result?.disaggregated_params.kv_transfer_params).toMatchObject({ remote_prefill_in_progress: true, remote_num_tokens: 32 });
    expect(second).toMatchObject({ endpoint: 'fetch_kv_blocks', token_ids: promptOf(65), address: first?.address });
    expect(decode).toMatchObject({
      endpoint: 'generate',
      address: first?.address,
      prefill_result: { overlapped: { first_block: 0, blocks: 4, reads: 2, transport: 'tcp', transfer_us: 100 } },
    });
    expect(running()).toBe(0);
  });

  it('one read at a time; of what is offered meanwhile the last', async () => {
    const go = Promise.withResolvers<void>();
    const { dispatch, requests } = await room({
      offers: [16, 32, 64],
      next: async (index) => (index === 2 ? (go.resolve(), turn()) : undefined),
      fetch: async function* (_, { token_ids }) {
        if (token_ids.length === 17) await go.promise;
        yield* fetched(1);
      },
    });
    await dispatch({ request: request() });
    expect(
      requests.calls.filter(({ endpoint }) => endpoint === 'fetch_kv_blocks').map(({ payload }) => (payload as PreprocessedRequest).token_ids.length),
    ).toEqual([17, 65]);
  });

  it('reads that fail cost nothing', async () => {
    const { dispatch, requests, running, lines } = await room({ fetch: () => broken(new RemoteError('NO_ROOM', 'no room', details)) });
    const { outputs, record } = await dispatch({ request: request() });
    expect(tokensOf(outputs)).toEqual(answer);
    expect(record).toMatchObject({ path: 'disaggregated', status: 'ok' });
    expect((requests.calls.at(-1)!.payload as PreprocessedRequest).prefill_result?.overlapped).toBeUndefined();
    expect(lines.join('')).toContain('no blocks read ahead');
    expect(running()).toBe(0);
  });

  it('a decode worker that is lost is replaced before the prompt is there', async () => {
    let lost: number | undefined;
    const { dispatch, asked, running } = await room({ fetch: (id) => ((lost = id), broken(new ConnectionLostError('connection lost', details))) });
    const { outputs, record } = await dispatch({ request: request() });
    expect(tokensOf(outputs)).toEqual(answer);
    expect(record).toMatchObject({ path: 'disaggregated', status: 'ok', migrations: [] });
    expect(asked()).toHaveLength(2);
    expect(asked()[1]).not.toBe(lost);
    expect(running()).toBe(0);
  });

  it('a prefill that fails ends the read under way', async () => {
    let ended: AbortSignal | undefined;
    const { dispatch, running } = await room({
      next: () => turn().then(() => Promise.reject(new RemoteError('STEP_FAILED', 'no step', details))),
      fetch: async function* (_, __, { signal }) {
        ended = signal;
        await new Promise((resolve) => signal?.addEventListener('abort', resolve));
        yield* fetched(0);
      },
    });
    const { outputs, record } = await dispatch({ request: request() });
    expect(ended?.aborted).toBe(true);
    expect(tokensOf(outputs)).toEqual(answer);
    expect(record).toMatchObject({ path: 'fallback', cause: { plane: 'engine', code: 'STEP_FAILED' } });
    expect(running()).toBe(0);
  });

  it('so does a client that leaves', async () => {
    const client = new AbortController();
    let ended: AbortSignal | undefined;
    const { dispatch, running } = await room({
      next: async () => {
        await turn();
        client.abort(new Error('the client left'));
        client.signal.throwIfAborted();
      },
      fetch: async function* (_, __, { signal }) {
        ended = signal;
        await new Promise((resolve) => signal?.addEventListener('abort', resolve));
        yield* fetched(0);
      },
    });
    await expect(dispatch({ request: request(), signal: client.signal })).rejects.toThrow('the client left');
    expect(ended?.aborted).toBe(true);
    await turn();
    expect(running()).toBe(0);
  });

  it('a read that does not end is given up, and what it was to read is read with the rest', async () => {
    const { dispatch, requests, running } = await room({
      fetch: async function* (_, __, { signal }) {
        await new Promise((resolve) => signal?.addEventListener('abort', resolve));
        yield* broken(signal!.reason as Error);
      },
    });
    const { outputs } = await dispatch({ request: request() });
    expect(tokensOf(outputs)).toEqual(answer);
    expect((requests.calls.at(-1)!.payload as PreprocessedRequest).prefill_result?.overlapped).toBeUndefined();
    expect(running()).toBe(0);
  });
});

describe('a decode worker that did not read', () => {
  it('has computed the prompt: the record says so, and the prefill worker is told', async () => {
    const { dispatch, released } = await dispatchRoom({
      worker: (id, asked) => {
        const { prefill_result: _, ...alone } = asked;
        return id > 10 ? prefilled(asked, id) : positions(alone);
      },
    });
    const { record } = await dispatch();
    expect(record).toMatchObject({ path: 'fallback', status: 'ok', cause: { plane: 'kv_transfer', code: 'NO_CONNECTOR' } });
    expect(released).toEqual([{ remote_request_id: 'r1' }]);
  });
});
