import { describe, expect, it } from 'vitest';
import type { EngineOutput, PreprocessedRequest } from '../protocol/index.ts';
import { ConnectionLostError, RemoteError } from '../runtime/index.ts';
import { dispatchRoom, positions, prefilled, promptOf } from './dispatchFixture.ts';
import { requestOf } from './frontendFixture.ts';

const answer = Array.from({ length: 8 }, (_, i) => 40 + i);
const tokensOf = (outputs: EngineOutput[]): number[] => outputs.flatMap(({ token_ids }) => token_ids);
const lost = (): Error => new ConnectionLostError('connection lost: read ECONNRESET', { plane: 'tcp', address: 'worker' });

/** Decode workers of which each call, up to the last, dies after that many tokens. */
function dying(...after: number[]) {
  let call = 0;
  return async function* (id: number, request: PreprocessedRequest): AsyncIterable<EngineOutput> {
    if (id > 10) return yield* prefilled(request, id);
    const tokens = after[call++] ?? Infinity;
    let given = 0;
    if (tokens === 0) throw lost();
    for await (const output of positions(request)) {
      yield output;
      if (++given >= tokens) throw lost();
    }
  };
}

describe('Migration', () => {
  it('goes on elsewhere with the same tokens, with what is left of the budget', async () => {
    const { dispatch, requests, metrics, running, asked } = await dispatchRoom({
      prefill: [],
      decode: [1, 2, 3],
      worker: dying(3, 2),
      migration: { limit: 2 },
    });
    const request = { ...requestOf(promptOf(40)), stop_conditions: { max_tokens: 8, min_tokens: 4 } };
    const { outputs, record } = await dispatch({ request });
    expect(tokensOf(outputs)).toEqual(answer);
    expect(outputs.filter(({ prompt }) => prompt !== undefined)).toHaveLength(1);
    expect(new Set(asked()).size).toBe(3);
    expect(requests.calls.map(({ payload }) => payload as PreprocessedRequest)).toMatchObject([
      { stop_conditions: { max_tokens: 8, min_tokens: 4 } },
      { replayed_tokens: 3, stop_conditions: { max_tokens: 5, min_tokens: 1 }, token_ids: [...promptOf(40), 40, 41, 42] },
      { replayed_tokens: 5, stop_conditions: { max_tokens: 3, min_tokens: 0 }, token_ids: [...promptOf(40), 40, 41, 42, 43, 44] },
    ]);
    expect(record).toMatchObject({
      path: 'aggregated',
      status: 'ok',
      output_tokens: 8,
      migrations: [
        { migration_type: 'ongoing_request', replayed_tokens: 3, cause: { plane: 'request', code: 'CONNECTION_LOST' } },
        { migration_type: 'ongoing_request', replayed_tokens: 5 },
      ],
      decode: [{ output_tokens: 3 }, { output_tokens: 2 }, { output_tokens: 3 }],
    });
    expect(record.migrations.map(({ from_worker_id }) => Number(from_worker_id))).toEqual(asked().slice(0, 2));
    expect(await metrics.text()).toContain('dynamo_frontend_model_migration_total{model="model",migration_type="ongoing_request"} 2');
    expect(running()).toBe(0);
  });

  it('works with disaggregation: the replay is prefilled remotely again', async () => {
    const { dispatch, asked } = await dispatchRoom({ worker: dying(3), migration: { limit: 1 } });
    const { outputs, record } = await dispatch();
    expect(tokensOf(outputs)).toEqual(answer);
    expect(asked().map((id) => id > 10)).toEqual([true, false, true, false]);
    expect(record).toMatchObject({ path: 'disaggregated', status: 'ok', migrations: [{ replayed_tokens: 3 }] });
  });

  it('stops at the limit: the card’s, unless the frontend has its own', async () => {
    const own = await dispatchRoom({ prefill: [], decode: [1, 2, 3], worker: dying(2, 2), card: { migration_limit: 5 }, migration: { limit: 1 } });
    await expect(own.dispatch()).rejects.toMatchObject({ status: 503, code: 'connection_lost', plane: 'request' });
    expect(own.records.get('r1')).toMatchObject({ path: 'error', output_tokens: 4, migrations: [{}], cause: { plane: 'request' } });
    expect(own.running()).toBe(0);
    const card = await dispatchRoom({ prefill: [], decode: [1, 2, 3], worker: dying(2, 2), card: { migration_limit: 2 } });
    expect(tokensOf((await card.dispatch()).outputs)).toEqual(answer);
  });

  it('before the first token goes on once with limit 0, and more often with more', async () => {
    const strict = await dispatchRoom({ prefill: [], decode: [1, 2, 3], worker: dying(0, 0) });
    await expect(strict.dispatch()).rejects.toMatchObject({ status: 503 });
    expect(strict.asked()).toHaveLength(2);
    const lenient = await dispatchRoom({ prefill: [], decode: [1, 2, 3], worker: dying(0, 0), migration: { limit: 2 } });
    const { record } = await lenient.dispatch();
    expect(record.migrations.map(({ migration_type, replayed_tokens }) => [migration_type, replayed_tokens])).toEqual([
      ['new_request', 0],
      ['new_request', 0],
    ]);
  });

  it('gives up where nobody else is', async () => {
    const { dispatch, asked } = await dispatchRoom({ prefill: [], decode: [1], worker: dying(2), migration: { limit: 3 } });
    await expect(dispatch()).rejects.toMatchObject({ status: 503 });
    expect(asked()).toEqual([1]);
  });

  it('replays nothing longer than --migration-max-seq-len', async () => {
    const { dispatch, metrics } = await dispatchRoom({ prefill: [], worker: dying(3), migration: { limit: 3, maxSeqLen: 42 } });
    await expect(dispatch()).rejects.toMatchObject({ status: 503 });
    expect(await metrics.text()).toContain('dynamo_frontend_model_migration_max_seq_len_exceeded_total{model="model"} 1');
  });

  it('gives a sampled request a seed, and leaves a seed that it has', async () => {
    const { dispatch, requests } = await dispatchRoom({ prefill: [], worker: dying(3), migration: { limit: 1 } });
    await dispatch({ request: { ...requestOf(promptOf(40)), sampling_options: { temperature: 1 } } });
    const seeds = requests.calls.map(({ payload }) => (payload as PreprocessedRequest).sampling_options.seed);
    expect(seeds[0]).toBeGreaterThanOrEqual(0);
    expect(seeds[1]).toBe(seeds[0]);
    await dispatch({ request: { ...requestOf(promptOf(40)), sampling_options: { temperature: 1, seed: 7 } } });
    expect((requests.calls.at(-1)!.payload as PreprocessedRequest).sampling_options.seed).toBe(7);
    await dispatch();
    expect((requests.calls.at(-1)!.payload as PreprocessedRequest).sampling_options.seed).toBeUndefined();
  });

  it('a worker lost after its last token has given all', async () => {
    const { dispatch } = await dispatchRoom({
      prefill: [],
      migration: { limit: 1 },
      worker: async function* (_, request) {
        for await (const { finish_reason: _finish, ...output } of positions(request)) yield output;
        throw lost();
      },
    });
    const { outputs } = await dispatch();
    expect(tokensOf(outputs)).toEqual(answer);
    expect(outputs.at(-1)).toEqual({ token_ids: [], finish_reason: 'length' });
  });

  it('an engine that closes is a lost worker; one that cannot compute is not', async () => {
    const failing = (code: string) =>
      dispatchRoom({
        prefill: [],
        migration: { limit: 1 },
        worker: async function* (_, request) {
          if (request.replayed_tokens === undefined) {
            yield { token_ids: [40] };
            throw new RemoteError(code, 'words', { plane: 'tcp', address: 'worker' });
          }
          yield* positions(request);
        },
      });
    expect(tokensOf((await (await failing('ENGINE_CLOSED')).dispatch()).outputs)).toEqual(answer);
    await expect((await failing('STEP_FAILED')).dispatch()).rejects.toMatchObject({ status: 500, code: 'step_failed', plane: 'engine' });
  });
});
