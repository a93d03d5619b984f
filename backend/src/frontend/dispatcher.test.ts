import { describe, expect, it } from 'vitest';
import type { EngineOutput } from '../protocol/index.ts';
import { ConnectFailedError, ConnectionLostError, RequestRefusedError } from '../runtime/index.ts';
import { Dispatcher } from './dispatcher.ts';
import { FrontendMetrics } from './frontendMetrics.ts';
import { characterCodec, FunctionPlane, instanceOf, outputsOf, recordingLogger, requestOf, until } from './frontendFixture.ts';
import { ModelManager } from './modelManager.ts';
import type { ServedModel } from './servedModel.ts';

const tokens = Array.from({ length: 40 }, (_, i) => i + 1);
const details = { plane: 'tcp', address: 'worker' };

async function setup(handler: (worker: string, attempt: number) => AsyncIterable<unknown>, busyThreshold?: number) {
  let attempt = 0;
  const requests = new FunctionPlane(({ address }) => handler(address, attempt++));
  const { logger, lines } = recordingLogger();
  const models = new ModelManager({
    router: { mode: 'round-robin', ...(busyThreshold === undefined ? {} : { busy: { activeDecodeBlocks: busyThreshold } }) },
    blockSize: undefined,
    eventPlane: undefined,
    requests,
    logger,
    loadCodec: async () => characterCodec,
  });
  models.added(instanceOf(1));
  models.added(instanceOf(2));
  await models.settled();
  const model = models.get('model') as ServedModel;
  const metrics = new FrontendMetrics('dynamo', () => []);
  const dispatcher = new Dispatcher({ requests, metrics, logger, overloadStatus: 529 });
  const dispatch = async (options: { signal?: AbortSignal; pin?: { workerId: bigint }; id?: string } = {}): Promise<EngineOutput[]> => {
    const { signal = new AbortController().signal, pin, id = 'r1' } = options;
    const outputs: EngineOutput[] = [];
    for await (const output of dispatcher.dispatch({ model, request: requestOf(tokens, id), signal, ...(pin && { pin }) })) outputs.push(output);
    return outputs;
  };
  return { model, dispatch, dispatcher, requests, lines, metrics };
}

const load = (model: ServedModel): number[] => model.router.loads().map(({ activeRequests }) => activeRequests);

describe('Dispatcher', () => {
  it('tells the router what became of a request', async () => {
    const { model, dispatch } = await setup(() => outputsOf(['a', 'b'], tokens.length));
    expect((await dispatch()).map(({ token_ids }) => token_ids)).toEqual([[97], [98]]);
    expect(model.router.decisions.get('r1')?.outcome).toMatchObject({ status: 'ok', prompt_tokens: 40, computed_tokens: 40, output_tokens: 2 });
    expect(load(model)).toEqual([0, 0]);
  });

  it('lets the more urgent request out of the queue first', async () => {
    const started: string[] = [];
    const gate = Promise.withResolvers<void>();
    const requests = new FunctionPlane(async function* ({ requestId }) {
      started.push(requestId);
      await gate.promise;
      yield* outputsOf(['a'], tokens.length);
    });
    const { logger } = recordingLogger();
    const models = new ModelManager({
      router: { mode: 'kv' },
      queue: { threshold: 0, policy: 'fcfs' },
      blockSize: undefined,
      eventPlane: undefined,
      requests,
      logger,
      loadCodec: async () => characterCodec,
    });
    models.added(instanceOf(1));
    await models.settled();
    const model = models.get('model') as ServedModel;
    const dispatcher = new Dispatcher({ requests, metrics: new FrontendMetrics('dynamo', () => []), logger, overloadStatus: 529 });
    const ask = async (id: string, priority?: { priorityJump?: number; strictPriority?: number }): Promise<void> => {
      for await (const _ of dispatcher.dispatch({ model, request: requestOf(tokens, id), signal: new AbortController().signal, priority }));
    };
    const asked = [ask('running'), ask('plain'), ask('urgent', { priorityJump: 1000 }), ask('strict', { strictPriority: 1 })];
    await until(() => model.queue?.waiting === 3);
    gate.resolve();
    await Promise.all(asked);
    expect(started).toEqual(['running', 'strict', 'urgent', 'plain']);
    await models.close();
  });

  it.each([
    ['is not there', () => new ConnectFailedError('cannot connect', details)],
    ['dies before its first token', () => new ConnectionLostError('connection lost', details)],
    ['is shutting down', () => new RequestRefusedError('DRAINING', 'shutting down', details)],
  ])('goes to another worker when the first %s, and passes a lost one over', async (_, error) => {
    const asked: string[] = [];
    const { model, dispatch, metrics } = await setup((worker, attempt) => {
      asked.push(worker);
      if (attempt > 0) return outputsOf(['a']);
      return (async function* () {
        yield* [];
        throw error();
      })();
    });
    expect(await dispatch()).toHaveLength(1);
    expect(new Set(asked).size).toBe(2);
    expect(load(model)).toEqual([0, 0]);
    expect(await metrics.text()).toMatch(/dynamo_frontend_model_migration_total\{model="model",migration_type="new_request"\} 1/);
    if (error() instanceof RequestRefusedError) return;
    await dispatch({ id: 'r2' });
    expect(asked.at(-1)).toBe(asked[1]);
  });

  it('does not begin an answer anew that has begun, and reports the lost worker', async () => {
    const { model, dispatch, requests } = await setup(async function* () {
      yield { token_ids: [97] };
      throw new ConnectionLostError('connection lost', details);
    });
    await expect(dispatch()).rejects.toMatchObject({ status: 503, code: 'connection_lost', message: expect.stringContaining('request plane (tcp)') });
    expect(requests.calls).toHaveLength(1);
    expect(model.router.decisions.get('r1')?.outcome).toMatchObject({ status: 'error', output_tokens: 1, error: expect.stringContaining('connection lost') });
    expect(load(model)).toEqual([0, 0]);
  });

  it('gives up after the second worker', async () => {
    const { dispatch, requests } = await setup(async function* () {
      yield* [];
      throw new ConnectFailedError('cannot connect', details);
    });
    await expect(dispatch()).rejects.toMatchObject({ status: 503, code: 'connect_failed' });
    expect(requests.calls).toHaveLength(2);
  });

  it('keeps to a pin, and to it alone', async () => {
    const { dispatch, requests } = await setup(async function* () {
      yield* [];
      throw new ConnectFailedError('cannot connect', details);
    });
    await expect(dispatch({ pin: { workerId: 2n } })).rejects.toMatchObject({ status: 503 });
    expect(requests.calls.map(({ address }) => address)).toEqual(['worker-2']);
    await expect(dispatch({ pin: { workerId: 9n }, id: 'r2' })).rejects.toMatchObject({ status: 400, code: 'pinned_worker_not_found' });
  });

  it('frees the request when its client goes', async () => {
    const abort = new AbortController();
    const { model, dispatch } = await setup(async function* () {
      yield { token_ids: [97] };
      abort.abort(new Error('gone'));
      yield { token_ids: [98] };
    });
    await expect(dispatch({ signal: abort.signal })).rejects.toThrow('gone');
    expect(model.router.decisions.get('r1')?.outcome).toMatchObject({ status: 'cancelled', output_tokens: 1 });
    expect(load(model)).toEqual([0, 0]);
  });

  it('a consumer that has enough ends the request well', async () => {
    const { model, dispatcher } = await setup(() => outputsOf(['a', 'b', 'c']));
    for await (const output of dispatcher.dispatch({ model, request: requestOf(tokens), signal: new AbortController().signal })) {
      if (output.token_ids[0] === 97) break;
    }
    expect(model.router.decisions.get('r1')?.outcome).toMatchObject({ status: 'ok', output_tokens: 1 });
    expect(load(model)).toEqual([0, 0]);
  });

  it('refuses with the gate’s name when every worker is above the busy threshold', async () => {
    const go = Promise.withResolvers<void>();
    const { dispatch, metrics } = await setup(async function* () {
      await go.promise;
      yield* outputsOf(['a']);
    }, 0.001);
    const running = [dispatch({ id: 'a' }), dispatch({ id: 'b' })];
    await new Promise(setImmediate);
    await expect(dispatch({ id: 'c' })).rejects.toMatchObject({
      status: 529,
      code: 'all_workers_busy',
      message: expect.stringContaining('gate: active-decode-blocks'),
    });
    expect(await metrics.text()).toContain('dynamo_frontend_model_rejection_total{model="model",gate="active-decode-blocks"} 1');
    go.resolve();
    await Promise.all(running);
  });
});
