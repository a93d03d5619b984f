import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { afterEach, describe, expect, it } from 'vitest';
import { Tracing } from '../observability/index.ts';
import { adminRoutes } from './adminRoutes.ts';
import { ApiError } from './apiError.ts';
import { ConditionalDisaggSettings } from './conditionalDisaggSettings.ts';
import { dispatchRoom, promptOf } from './dispatchFixture.ts';
import { recordingLogger, requestOf } from './frontendFixture.ts';
import { requestRoutes } from './requestRoutes.ts';

let server: Server;
const stop = new AbortController();
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

async function setup(adminApi = true) {
  const conditional = new ConditionalDisaggSettings();
  const room = await dispatchRoom({ conditional: () => conditional.current });
  const { logger } = recordingLogger();
  const tracing = await Tracing.open({ service: 'frontend', logger, env: {} });
  const app = express();
  app.use('/requests', requestRoutes({ records: room.records, tracing, signal: stop.signal }));
  app.use(adminRoutes({ models: room.models, conditional, logger, adminApi }));
  app.use(((error, _request, response, _next) => {
    const shown = error instanceof ApiError ? error : new ApiError(500, String(error));
    response.status(shown.status).json(shown.body);
  }) as express.ErrorRequestHandler);
  server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const call = async (path: string, body?: unknown): Promise<{ status: number; body: unknown }> => {
    const response = await fetch(`${url}${path}`, body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) });
    return { status: response.status, body: await response.json() };
  };
  return { ...room, call, url };
}

describe('/conditional_disagg', () => {
  it('is read and changed while the frontend runs; the next request follows it', async () => {
    const { call, dispatch } = await setup();
    expect((await call('/conditional_disagg')).body).toMatchObject({ policy: 'always_remote', max_local_prefill_length: 2048, max_local_prefill_ratio: 0.7 });
    expect((await dispatch()).record.path).toBe('disaggregated');
    const changed = await call('/conditional_disagg', { policy: 'isl_bounding', max_local_prefill_ratio: 1, max_local_prefill_length: 40 });
    expect(changed).toMatchObject({ status: 200, body: { policy: 'isl_bounding', max_local_prefill_ratio: 1 } });
    expect((await dispatch()).record.conditional).toMatchObject({ policy: 'isl_bounding', remote: true, max_local_prefill_length: 40 });
    await call('/conditional_disagg', { max_local_prefill_length: 41 });
    expect((await dispatch()).record).toMatchObject({ path: 'local_prefill', conditional: { remote: false, max_local_prefill_length: 41 } });
  });

  it('names bad input and changes nothing', async () => {
    const { call } = await setup();
    const before = await call('/conditional_disagg');
    for (const [body, param] of [
      [{ policy: 'never', max_local_prefill_length: 1 }, 'policy'],
      [{ max_local_prefill_length: -1 }, 'max_local_prefill_length'],
      [{ threshold: 1 }, 'threshold'],
    ] as const) {
      expect(await call('/conditional_disagg', body)).toMatchObject({ status: 400, body: { error: { param, code: 'invalid_conditional_disagg' } } });
    }
    expect(await call('/conditional_disagg')).toEqual(before);
  });

  it('can be switched off', async () => {
    const { call } = await setup(false);
    for (const path of ['/conditional_disagg', '/busy_threshold']) {
      expect(await call(path)).toMatchObject({ status: 404, body: { error: { code: 'admin_api_disabled' } } });
      expect((await call(path, {})).status).toBe(404);
    }
  });
});

describe('/busy_threshold', () => {
  it('is changed for both pools, at once, and taken back with null', async () => {
    const { call, dispatch, model } = await setup();
    const none = { model: 'model', active_decode_blocks_threshold: null, active_prefill_tokens_threshold: null, active_prefill_tokens_threshold_frac: null };
    expect((await call('/busy_threshold')).body).toEqual({ thresholds: [none] });
    const set = await call('/busy_threshold', { model: 'model', active_prefill_tokens_threshold: 10 });
    expect(set).toEqual({ status: 200, body: { ...none, active_prefill_tokens_threshold: 10 } });
    model.prefill?.router.route({ requestId: 'long', model: 'model', tokens: promptOf(20) });
    await expect(dispatch({ request: requestOf(promptOf(40), 'r2') })).rejects.toMatchObject({ status: 529, code: 'all_workers_busy' });
    expect((await call('/busy_threshold', { model: 'model', active_prefill_tokens_threshold: null })).body).toEqual(none);
    expect((await dispatch({ request: requestOf(promptOf(40), 'r3') })).record.status).toBe('ok');
    expect((await call('/busy_threshold', { model: 'model' })).body).toEqual(none);
  });

  it.each([
    [{ model: 'nobody' }, 404, 'model'],
    [{}, 400, 'model'],
    [{ model: 'model', active_decode_blocks_threshold: 0.5, active_prefill_tokens_threshold: -1 }, 400, 'active_prefill_tokens_threshold'],
    [{ model: 'model', busy_threshold: 1 }, 400, 'busy_threshold'],
  ])('names bad input: %j', async (body, status, param) => {
    const { call } = await setup();
    expect(await call('/busy_threshold', body)).toMatchObject({ status, body: { error: { param } } });
    expect((await call('/busy_threshold')).body).toMatchObject({ thresholds: [{ active_decode_blocks_threshold: null }] });
  });
});

describe('/requests', () => {
  it('lists, finds, and says what it does not have', async () => {
    const { call, dispatch } = await setup();
    for (const id of ['a', 'b', 'c']) await dispatch({ request: requestOf(promptOf(20), id) });
    expect((await call('/requests')).body).toMatchObject([{ request_id: 'a' }, { request_id: 'b' }, { request_id: 'c', path: 'disaggregated', status: 'ok' }]);
    expect((await call('/requests?limit=1')).body).toMatchObject([{ request_id: 'c' }]);
    expect((await call('/requests/b')).body).toMatchObject({ request_id: 'b', prompt_tokens: 20 });
    expect(await call('/requests/z')).toMatchObject({ status: 404, body: { error: { code: 'request_not_found' } } });
    expect((await call('/requests?limit=x')).status).toBe(400);
  });

  it('streams each request when its way is known and when it ended', async () => {
    const { dispatch, url } = await setup();
    const response = await fetch(`${url}/requests/stream`);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = (await reader.read()).value ?? '';
    await dispatch();
    while (!text.includes('"status":"ok"')) text += (await reader.read()).value ?? '';
    const records = [...text.matchAll(/^data: (.*)$/gm)].map((match) => JSON.parse(match[1] ?? '') as { path: string; status: string });
    expect(records.map(({ path, status }) => `${path} ${status}`)).toEqual(['disaggregated running', 'disaggregated ok']);
    await reader.cancel();
  });
});
