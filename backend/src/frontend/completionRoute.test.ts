import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { afterEach, describe, expect, it } from 'vitest';
import { Tracing } from '../observability/index.ts';
import type { EngineOutput } from '../protocol/index.ts';
import { RemoteError } from '../runtime/index.ts';
import { chatFormat } from './answerFormat.ts';
import { ApiError } from './apiError.ts';
import { completionRoute } from './completionRoute.ts';
import { prefillInstanceOf } from './dispatchFixture.ts';
import { Dispatcher } from './dispatcher.ts';
import { characterCodec, FunctionPlane, instanceOf, outputsOf, recordingLogger, until } from './frontendFixture.ts';
import { FrontendMetrics } from './frontendMetrics.ts';
import { ModelManager } from './modelManager.ts';
import { RequestRecordStore } from './requestRecordStore.ts';

let server: Server;
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

async function setup(worker: (call: { signal?: AbortSignal }) => AsyncIterable<EngineOutput>, instances = [instanceOf(1)]) {
  const requests = new FunctionPlane(worker);
  const { logger } = recordingLogger();
  const models = new ModelManager({
    router: { mode: 'round-robin' },
    blockSize: undefined,
    eventPlane: undefined,
    requests,
    logger,
    loadCodec: async () => characterCodec,
  });
  for (const instance of instances) models.added(instance);
  await models.settled();
  const metrics = new FrontendMetrics('dynamo', () => []);
  const dispatcher = new Dispatcher({ requests, metrics, logger, overloadStatus: 529 });
  const tracing = await Tracing.open({ service: 'frontend', logger, env: {} });
  const inFlight = new Set<string>();
  const app = express();
  app.post('/', express.json(), completionRoute({ models, dispatcher, records: new RequestRecordStore(), tracing, metrics, logger, inFlight }, chatFormat));
  app.use(((error, _request, response, _next) => {
    const shown = error instanceof ApiError ? error : new ApiError(500, String(error));
    if (response.headersSent) response.end();
    else response.status(shown.status).json(shown.body);
  }) as express.ErrorRequestHandler);
  server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const post = (extra: object = {}, id?: string, signal?: AbortSignal): Promise<Response> =>
    fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(id === undefined ? {} : { 'x-request-id': id }) },
      body: JSON.stringify({ model: 'model', messages: [{ role: 'user', content: 'hi' }], ...extra }),
      ...(signal === undefined ? {} : { signal }),
    });
  const counted = async (): Promise<string[]> =>
    [...(await metrics.text()).matchAll(/^dynamo_frontend_requests_total\{.*request_type="(\w+)",status="(\w+)",error_type="(\w*)"\} (\d+)$/gm)].map((match) =>
      match.slice(1).join(' '),
    );
  return { post, counted, inFlight, models };
}

/** A worker that says one token and then waits for its caller. */
async function* endless({ signal }: { signal?: AbortSignal }): AsyncIterable<EngineOutput> {
  yield { token_ids: [97] };
  if (signal?.aborted !== true) await new Promise((resolve) => signal?.addEventListener('abort', resolve, { once: true }));
  signal?.throwIfAborted();
}

describe('completion requests are counted by what became of them', () => {
  it('answered, also when a stop string cut the answer', async () => {
    const { post, counted } = await setup(() => outputsOf(['a', 'b', 'c']));
    expect((await post()).status).toBe(200);
    expect(await (await post({ stop: 'b' })).json()).toMatchObject({ choices: [{ message: { content: 'a' }, finish_reason: 'stop' }] });
    expect(await counted()).toEqual(['unary success  2']);
  });

  it.each([true, false])('a client that left is an error of type cancelled, not a success (stream: %s)', async (stream) => {
    const { post, counted, inFlight } = await setup(endless);
    const abort = new AbortController();
    const answer = post({ stream }, 'leaver', abort.signal).then((response) => response.text());
    await until(() => inFlight.has('leaver'));
    // The request is with the worker.
    await new Promise((resolve) => setTimeout(resolve, 20));
    abort.abort();
    await expect(answer).rejects.toThrow();
    await until(() => inFlight.size === 0);
    expect(await counted()).toEqual([`${stream ? 'stream' : 'unary'} error cancelled 1`]);
  });

  it('refused and failed', async () => {
    const { post, counted } = await setup(async function* () {
      yield* [];
      throw new RemoteError('STEP_FAILED', 'no step', { plane: 'tcp', address: 'worker-1' });
    });
    expect((await post()).status).toBe(500);
    expect((await post({ max_tokens: 1_000_000 })).status).toBe(400);
    expect((await counted()).toSorted()).toEqual(['unary error internal 1', 'unary error validation 1']);
  });
});

describe('a prompt that cannot fit', () => {
  it('is refused with both numbers before it is tokenised', async () => {
    const { post, models } = await setup(() => outputsOf(['a']));
    const { card, codec } = models.get('model')!;
    const content = 'x'.repeat((card.context_length + 5) * codec.longestToken);
    const answer = await post({ messages: [{ role: 'user', content }] });
    expect(answer.status).toBe(400);
    const message = expect.stringContaining(
      `maximum context length is ${card.context_length} tokens. However, your messages resulted in at least ${card.context_length + 5} tokens`,
    );
    expect(await answer.json()).toMatchObject({ error: { param: 'messages', code: 'context_length_exceeded', message } });
  });
});

describe('request ids', () => {
  it('an id that is still being answered is refused, and its record stays the first one’s', async () => {
    const { post, inFlight, models } = await setup(endless);
    const abort = new AbortController();
    const first = post({ stream: true }, 'mine', abort.signal).then((response) => response.text());
    await until(() => inFlight.has('mine'));
    const second = await post({}, 'mine');
    expect(second.status).toBe(409);
    expect(await second.json()).toMatchObject({ error: { type: 'invalid_request_error', param: 'x-request-id', code: 'request_in_flight' } });
    abort.abort();
    await expect(first).rejects.toThrow();
    await until(() => inFlight.size === 0);
    expect(models.get('model')?.router.decisions.get('mine')?.outcome).toMatchObject({ status: 'cancelled', output_tokens: 1 });
    const again = post({ stream: true }, 'mine', AbortSignal.timeout(200)).then((response) => response.text());
    await until(() => inFlight.has('mine'));
    await expect(again).rejects.toThrow();
  });
});

describe('a model that cannot be served', () => {
  it('is unknown, or has no decode worker, which prefill workers do not replace', async () => {
    const { post, models } = await setup(() => outputsOf(['a']), [prefillInstanceOf(11), prefillInstanceOf(12)]);
    const answer = await post();
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({
      error: { code: 'no_workers', message: 'No decode worker of model `model` is ready. Its 2 prefill workers cannot answer alone.' },
    });
    expect((await post({ model: 'other' })).status).toBe(404);
    models.added(instanceOf(1));
    models.removed(11n);
    models.removed(12n);
    models.removed(1n);
    await models.settled();
    expect(await (await post()).json()).toMatchObject({ error: { message: 'No worker of model `model` is ready.' } });
  });
});
