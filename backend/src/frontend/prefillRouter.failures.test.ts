import { describe, expect, it } from 'vitest';
import type { EngineOutput, PreprocessedRequest } from '../protocol/index.ts';
import { ConnectFailedError, ConnectionLostError, RemoteError, RequestRefusedError } from '../runtime/index.ts';
import { dispatchRoom, positions, prefilled, promptOf } from './dispatchFixture.ts';
import { requestOf } from './frontendFixture.ts';

const details = { plane: 'tcp', address: 'worker' };
const answer = Array.from({ length: 8 }, (_, i) => 40 + i);
const tokensOf = (outputs: EngineOutput[]): number[] => outputs.flatMap(({ token_ids }) => token_ids);

async function* failing(error: Error): AsyncIterable<EngineOutput> {
  yield* [];
  throw error;
}

describe('a remote prefill that fails', () => {
  const failures: [string, () => Error, object, number][] = [
    ['the prefill worker’s engine', () => new RemoteError('STEP_FAILED', 'no step', details), { plane: 'engine', code: 'STEP_FAILED' }, 500],
    ['the connection', () => new ConnectionLostError('connection lost: read ECONNRESET', details), { plane: 'request', code: 'CONNECTION_LOST' }, 503],
    ['a worker without blocks', () => new RemoteError('KV_BLOCKS_EXHAUSTED', 'all held', details), { plane: 'kv_transfer', code: 'KV_BLOCKS_EXHAUSTED' }, 500],
  ];
  const worker = (error: () => Error) => (id: number, request: PreprocessedRequest) => (id > 10 ? failing(error()) : positions(request));

  it.each(failures)('%s: falls back to the decode worker', async (_, error, cause) => {
    const { dispatch, running, metrics, lines } = await dispatchRoom({ onDisaggFailure: 'fallback', worker: worker(error) });
    const { record, outputs } = await dispatch();
    expect(tokensOf(outputs)).toEqual(answer);
    expect(record).toMatchObject({ path: 'fallback', status: 'ok', cause, decode: [{ prompt: { computed_tokens: 40 } }] });
    expect(running()).toBe(0);
    expect(lines.join('')).toContain('Remote prefill failed, falling back to decode-only');
    expect(await metrics.text()).toMatch(/dynamo_labs_frontend_disaggregation_failures_total\{model="model",plane="\w+"\} 1/);
  });

  it.each(failures)('%s: is told to the caller', async (_, error, cause, status) => {
    const { dispatch, running, records, asked } = await dispatchRoom({ onDisaggFailure: 'error', worker: worker(error) });
    await expect(dispatch()).rejects.toMatchObject({
      status,
      plane: (cause as { plane: string }).plane,
      message: expect.stringContaining('remote prefill failed: '),
    });
    expect(records.get('r1')).toMatchObject({ path: 'error', status: 'error', cause });
    expect(asked()).toEqual([11]);
    expect(running()).toBe(0);
  });

  it('a worker that is not there any more is replaced by another one', async () => {
    const { dispatch, asked, metrics } = await dispatchRoom({
      prefill: [11, 12],
      router: { mode: 'round-robin' },
      worker: (id, request) => (id === 11 ? failing(new ConnectFailedError('cannot connect', details)) : id > 10 ? prefilled(request, id) : positions(request)),
    });
    for (const id of ['a', 'b']) {
      const { record } = await dispatch({ request: requestOf(promptOf(40), id) });
      expect(record).toMatchObject({ path: 'disaggregated', prefill: { worker_id: '12' } });
    }
    expect(asked().filter((id) => id === 11)).toHaveLength(1);
    expect(await metrics.text()).toContain('dynamo_frontend_model_migration_total{model="model",migration_type="new_request"} 1');
  });

  it('as many are replaced as requests may migrate', async () => {
    const worker = (id: number, request: PreprocessedRequest) =>
      id === 13 ? prefilled(request, id) : id > 10 ? failing(new ConnectionLostError('reset', details)) : positions(request);
    const room = (limit: number) => dispatchRoom({ prefill: [11, 12, 13], worker, migration: { limit } });
    const lenient = await room(2);
    for (const id of ['a', 'b', 'c', 'd'])
      expect((await lenient.dispatch({ request: requestOf(promptOf(40), id) })).record).toMatchObject({ path: 'disaggregated' });
    const strict = await dispatchRoom({ prefill: [11, 12], worker, migration: { limit: 0 } });
    await expect(strict.dispatch()).rejects.toMatchObject({ status: 503, plane: 'request', code: 'connection_lost' });
    expect(strict.asked()).toHaveLength(2);
  });

  it('an answer without the blocks’ place', async () => {
    const worker = (id: number, request: PreprocessedRequest) => positions({ ...request, stop_conditions: { max_tokens: id > 10 ? 1 : 8 } });
    const { dispatch } = await dispatchRoom({ worker });
    await expect(dispatch()).rejects.toMatchObject({ status: 500, code: 'no_disaggregated_params' });
    expect((await (await dispatchRoom({ worker, onDisaggFailure: 'fallback' })).dispatch()).record).toMatchObject({ path: 'fallback' });
  });

  it('all prefill workers over their threshold', async () => {
    const busy = async (onDisaggFailure: 'fallback' | 'error') => {
      const room = await dispatchRoom({ onDisaggFailure, router: { mode: 'kv', busy: { activePrefillTokens: 100 } } });
      room.model.prefill?.router.route({ requestId: 'long', model: 'model', tokens: promptOf(200) });
      return room;
    };
    await expect((await busy('error')).dispatch()).rejects.toMatchObject({ status: 529, code: 'all_workers_busy', plane: 'router' });
    expect((await (await busy('fallback')).dispatch()).record).toMatchObject({ path: 'fallback', cause: { plane: 'router', code: 'ALL_WORKERS_BUSY' } });
  });
});

describe('a handoff that fails', () => {
  const worker = (error: Error) => (id: number, request: PreprocessedRequest) =>
    id > 10 ? prefilled(request, id) : request.prefill_result === undefined ? positions(request) : failing(error);
  const incompatible = new RequestRefusedError('KV_INCOMPATIBLE', 'block_size: 16 there, 32 here', details);
  const expired = new RemoteError('KV_TRANSFER_FAILED', 'EXPIRED: the grant ended', details);

  it.each([
    ['KV_INCOMPATIBLE', incompatible],
    ['KV_TRANSFER_FAILED', expired],
  ])('%s: falls back or is told, on the KV transfer plane', async (code, error) => {
    const lenient = await dispatchRoom({ onDisaggFailure: 'fallback', worker: worker(error) });
    const { record, outputs } = await lenient.dispatch();
    expect(tokensOf(outputs)).toEqual(answer);
    expect(record).toMatchObject({
      path: 'fallback',
      status: 'ok',
      cause: { plane: 'kv_transfer', code },
      decode: [{ output_tokens: 0 }, { output_tokens: 8 }],
    });
    expect(lenient.running()).toBe(0);
    const strict = await dispatchRoom({ worker: worker(error) });
    await expect(strict.dispatch()).rejects.toMatchObject({
      code: code.toLowerCase(),
      plane: 'kv_transfer',
      message: expect.stringMatching(/kv_transfer plane, KV_\w+: worker worker: .*KV_/),
    });
    expect(strict.records.get('r1')).toMatchObject({ path: 'error', cause: { plane: 'kv_transfer', code } });
    expect(strict.running()).toBe(0);
  });

  it('the decode worker may recompute by itself', async () => {
    const { dispatch } = await dispatchRoom({
      worker: async function* (id, request) {
        if (id > 10) return yield* prefilled(request, id);
        for await (const output of positions(request)) {
          const { kv_transfer } = output;
          yield kv_transfer === undefined
            ? output
            : { ...output, kv_transfer: { ...kv_transfer, status: 'failed', error: { code: 'CHECKSUM', message: 'block 3 differs' } } };
        }
      },
    });
    expect((await dispatch()).record).toMatchObject({ path: 'fallback', status: 'ok', cause: { plane: 'kv_transfer', code: 'CHECKSUM' } });
  });

  it('after the first token it is an error of the answer', async () => {
    const { dispatch, records } = await dispatchRoom({
      onDisaggFailure: 'fallback',
      worker: async function* (id, request) {
        if (id > 10) return yield* prefilled(request, id);
        yield { token_ids: [1] };
        throw expired;
      },
    });
    await expect(dispatch()).rejects.toMatchObject({ code: 'kv_transfer_failed' });
    expect(records.get('r1')).toMatchObject({ path: 'error', status: 'error', output_tokens: 1 });
  });
});

describe('blocks that nobody will read', () => {
  it.each([
    ['no decode worker can be chosen', { router: { mode: 'kv', busy: { activeDecodeBlocks: 0.001 } } } as const],
    [
      'the decode worker is lost',
      { worker: (id: number, request: PreprocessedRequest) => (id > 10 ? prefilled(request, id) : failing(new ConnectionLostError('reset', details))) },
    ],
  ])('%s: the prefill worker is told at once', async (_, options) => {
    const { dispatch, model, released } = await dispatchRoom({ decode: [1], ...options });
    model.router.route({ requestId: 'before', model: 'model', tokens: promptOf(64) });
    await expect(dispatch()).rejects.toMatchObject({ status: expect.any(Number) });
    await new Promise(setImmediate);
    expect(released).toEqual([{ remote_request_id: 'r1' }]);
  });

  it('the client left before the decode worker was asked', async () => {
    const abort = new AbortController();
    const { dispatch, asked, released, running } = await dispatchRoom({
      worker: async function* (id, request) {
        if (id < 10) return yield* positions(request);
        yield* prefilled(request, id);
        setImmediate(() => abort.abort(new Error('gone')));
        await new Promise((resolve) => setTimeout(resolve, 5));
      },
    });
    await expect(dispatch({ signal: abort.signal })).rejects.toThrow('gone');
    await new Promise(setImmediate);
    expect([asked(), released, running()]).toEqual([[11], [{ remote_request_id: 'r1' }], 0]);
  });

  it('are none where they were read', async () => {
    const { dispatch, released } = await dispatchRoom();
    await dispatch();
    await new Promise(setImmediate);
    expect(released).toEqual([]);
  });
});
