import { describe, expect, it } from 'vitest';
import type { EngineOutput, PreprocessedRequest } from '../protocol/index.ts';
import { conditionalDisaggDefaults } from './conditionalDisagg.ts';
import { dispatchRoom, positions, prefilled, prefillInstanceOf, promptOf } from './dispatchFixture.ts';
import { requestOf } from './frontendFixture.ts';

const answer = Array.from({ length: 8 }, (_, i) => 40 + i);
const tokensOf = (outputs: EngineOutput[]): number[] => outputs.flatMap(({ token_ids }) => token_ids);

describe('PrefillRouter', () => {
  it('sends the prompt to a prefill worker, and its blocks’ place to a decode worker', async () => {
    const { dispatch, requests, running, metrics, model } = await dispatchRoom();
    const { outputs, record } = await dispatch();
    expect(tokensOf(outputs)).toEqual(answer);
    const [prefill, decode] = requests.calls.map(({ payload }) => payload as PreprocessedRequest);
    expect(prefill).toMatchObject({ stop_conditions: { max_tokens: 1, min_tokens: 1 }, kv_transfer_params: { do_remote_decode: true } });
    expect(decode).toMatchObject({ stop_conditions: { max_tokens: 8 }, prefill_result: { disaggregated_params: { worker_id: '11' } } });
    expect(decode?.kv_transfer_params).toBeUndefined();
    expect(record).toMatchObject({
      path: 'disaggregated',
      status: 'ok',
      prefill: { worker_id: '11', prompt: { computed_tokens: 40 } },
      decode: [{ prompt: { computed_tokens: 1, transferred_tokens: 39 }, output_tokens: 8 }],
      transfer: { status: 'ok', bytes: 30 },
      conditional: { policy: 'always_remote', remote: true, isl_tokens: 40 },
      output_tokens: 8,
      finish_reason: 'length',
    });
    expect(record.cause).toBeUndefined();
    expect(running()).toBe(0);
    expect(model.prefill?.router.decisions.get('r1')?.outcome).toMatchObject({ status: 'ok' });
    const text = await metrics.text();
    expect(text).toContain('dynamo_labs_frontend_requests_by_path_total{model="model",path="disaggregated"} 1');
    expect(text).toContain(
      'dynamo_component_router_requests_total{dynamo_namespace="dynamo",dynamo_component="prefill",dynamo_endpoint="generate",worker_id="11"} 1',
    );
  });

  it('chooses the decode worker by its load alone, and counts no prompt and no sharing there', async () => {
    const go = Promise.withResolvers<void>();
    const { dispatch, model } = await dispatchRoom({
      worker: async function* (id, request) {
        if (id > 10) return yield* prefilled(request, id);
        await go.promise;
        yield* positions(request);
      },
    });
    const running = ['a', 'b'].map((id) => dispatch({ request: requestOf(promptOf(64), id) }));
    await new Promise((resolve) => setTimeout(resolve, 20));
    const loads = model.router.loads();
    expect(loads.map(({ activeRequests, activePrefillTokens, activeDecodeBlocks }) => [activeRequests, activePrefillTokens, activeDecodeBlocks])).toEqual([
      [1, 0, 4],
      [1, 0, 4],
    ]);
    expect(model.router.decisions.get('b')?.weights).toMatchObject({ overlap_score_weight: 0, overlap_score_credit: 0, prefill_load_scale: 0 });
    go.resolve();
    await Promise.all(running);
  });

  it('without prefill workers one worker does all, unless disaggregation is enforced', async () => {
    const { dispatch } = await dispatchRoom({ prefill: [] });
    const { record } = await dispatch();
    expect(record).toMatchObject({ path: 'aggregated', status: 'ok' });
    expect(record.conditional).toBeUndefined();
    const enforced = await dispatchRoom({ prefill: [], onDisaggFailure: 'enforce' });
    await expect(enforced.dispatch()).rejects.toMatchObject({ status: 503, code: 'no_prefill_workers', plane: 'router' });
    expect(enforced.records.get('r1')).toMatchObject({ path: 'error', status: 'error', cause: { plane: 'router', code: 'NO_PREFILL_WORKERS' } });
    expect(enforced.requests.calls).toEqual([]);
  });

  it('goes on without prefill workers that went, and with those that come', async () => {
    const { dispatch, models } = await dispatchRoom();
    models.removed(11n);
    await models.settled();
    expect((await dispatch()).record).toMatchObject({ path: 'aggregated', reason: expect.stringContaining('no prefill worker is registered any more') });
    models.added(prefillInstanceOf(12));
    await models.settled();
    expect((await dispatch()).record).toMatchObject({ path: 'disaggregated', prefill: { worker_id: '12' } });
  });

  it.each([
    ['prefill worker, while it computes', 11, 11],
    ['prefill worker, while the answer is given', 11, 1],
    ['decode worker, while it answers', 1, 1],
  ])('a %s, leaves discovery: the request goes on', async (_, leaves, during) => {
    const room = await dispatchRoom({
      decode: [1],
      worker: async function* (id, request) {
        if (id === during) {
          room.models.removed(BigInt(leaves));
          await room.models.settled();
        }
        yield* id > 10 ? prefilled(request, id) : positions(request);
      },
    });
    const { outputs, record } = await room.dispatch();
    expect(tokensOf(outputs)).toEqual(answer);
    expect(record).toMatchObject({ path: 'disaggregated', status: 'ok' });
    expect(room.running()).toBe(0);
  });

  it('keeps a pinned prefill worker, whatever the policy', async () => {
    const { dispatch } = await dispatchRoom({
      prefill: [11, 12],
      conditional: () => ({ ...conditionalDisaggDefaults, policy: 'isl_bounding', max_local_prefill_ratio: 1 }),
    });
    for (const id of [12n, 11n]) expect((await dispatch({ prefillPin: { workerId: id } })).record.prefill?.worker_id).toBe(String(id));
    const unknown = { status: 400, code: 'pinned_worker_not_found', param: 'nvext.prefill_worker_id' };
    await expect(dispatch({ prefillPin: { workerId: 99n } })).rejects.toMatchObject(unknown);
    const none = await dispatchRoom({ prefill: [], onDisaggFailure: 'fallback' });
    await expect(none.dispatch({ prefillPin: { workerId: 99n } })).rejects.toMatchObject(unknown);
    expect(none.records.get('r1')).toMatchObject({ path: 'error', cause: { plane: 'router', code: 'PINNED_WORKER_NOT_FOUND' } });
  });

  it('says which workers it would be without asking them', async () => {
    const { dispatcher, model, requests, running } = await dispatchRoom({ prefill: [11, 12] });
    const answer = dispatcher.query({ model, request: requestOf(promptOf(40)), pin: { workerId: 2n }, prefillPin: { workerId: 12n } });
    expect([answer.prefill?.chosen.worker_id, answer.decode.chosen.worker_id]).toEqual(['12', '2']);
    expect([requests.calls.length, running()]).toEqual([0, 0]);
    expect(() => dispatcher.query({ model, request: requestOf(promptOf(40)), pin: { workerId: 9n } })).toThrow(expect.objectContaining({ status: 400 }));
  });
});

describe('conditional disaggregation', () => {
  const worker = (cached: number) => async (policy: 'isl_bounding' | 'prefill_load') => {
    const room = await dispatchRoom({ decode: [1], router: { mode: 'kv', kvEvents: false }, conditional: () => ({ ...conditionalDisaggDefaults, policy }) });
    // The router believes that a prompt which was routed is cached.
    if (cached > 0) room.model.router.route({ requestId: 'before', model: 'model', tokens: promptOf(cached) });
    room.model.router.free('before');
    return room;
  };

  it('keeps a cached prompt on its decode worker, and says why', async () => {
    const { dispatch, asked, running } = await worker(32)('isl_bounding');
    const { record, outputs } = await dispatch();
    expect(asked()).toEqual([1]);
    expect(tokensOf(outputs)).toEqual(answer);
    expect(record).toMatchObject({ path: 'local_prefill', conditional: { remote: false, isl_tokens: 40, decode_cached_tokens: 32, effective_isl_tokens: 8 } });
    expect(record.prefill).toBeUndefined();
    expect(running()).toBe(0);
  });

  it('sends one away that is not', async () => {
    const { dispatch, asked, running, metrics } = await worker(0)('isl_bounding');
    const { record } = await dispatch();
    expect(asked()).toEqual([11, 1]);
    expect(record).toMatchObject({ path: 'disaggregated', conditional: { policy: 'isl_bounding', remote: true, effective_isl_tokens: 40 } });
    expect(running()).toBe(0);
    // The decode worker was looked at twice, and chosen once.
    expect(await metrics.text()).toMatch(/dynamo_component_router_requests_total\{.*dynamo_component="backend".*\} 1\n/);
    expect(await metrics.text()).toContain('dynamo_labs_frontend_conditional_disagg_total{model="model",policy="isl_bounding",place="remote"} 1');
  });

  it('looks at what waits at the prefill workers', async () => {
    const { dispatch, model } = await worker(0)('prefill_load');
    expect((await dispatch()).record).toMatchObject({ path: 'disaggregated', conditional: { prefill_queue_tokens: 0 } });
    model.prefill?.router.route({ requestId: 'long', model: 'model', tokens: promptOf(8_193).map((token) => token + 1_000_000) });
    expect((await dispatch()).record).toMatchObject({ path: 'local_prefill', conditional: { prefill_queue_tokens: 8_193, max_prefill_queue_tokens: 8_192 } });
  });

  it('a prompt of one token is never sent away', async () => {
    const { dispatch, asked } = await dispatchRoom();
    expect((await dispatch({ request: requestOf([5]) })).record).toMatchObject({ path: 'local_prefill', conditional: { remote: false } });
    expect(asked().every((id) => id < 10)).toBe(true);
  });
});

describe('a client that leaves', () => {
  it.each([
    ['during prefill', 11],
    ['during decode', 1],
  ])('%s: nothing more is started, nothing stays load', async (_, at) => {
    const abort = new AbortController();
    const { dispatch, asked, running, records } = await dispatchRoom({
      decode: [1],
      worker: async function* (id, request) {
        if (id === at) {
          abort.abort(new Error('gone'));
          yield { token_ids: [] };
        }
        yield* id > 10 ? prefilled(request, id) : positions(request);
      },
    });
    await expect(dispatch({ signal: abort.signal })).rejects.toThrow('gone');
    expect(asked()).toEqual(at === 11 ? [11] : [11, 1]);
    expect(running()).toBe(0);
    expect(records.get('r1')).toMatchObject({ status: 'cancelled' });
  });
});
