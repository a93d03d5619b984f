import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { Tracing } from '../observability/index.ts';
import { completionFormat } from './answerFormat.ts';
import { ApiError } from './apiError.ts';
import { completionRoute } from './completionRoute.ts';
import { Dispatcher } from './dispatcher.ts';
import { dispatchRoom, type DispatchRoomOptions } from './dispatchFixture.ts';
import { recordingLogger } from './frontendFixture.ts';
import { requestRoutes } from './requestRoutes.ts';

/** For tests: `/v1/completions` and `/requests` over HTTP, before workers that are functions. */
export async function httpRoom(options: DispatchRoomOptions = {}) {
  const room = await dispatchRoom(options);
  const { models, metrics, requests, records } = room;
  const { logger } = recordingLogger();
  const tracing = await Tracing.open({ service: 'frontend', logger, env: {} });
  const dispatcher = new Dispatcher({ requests, metrics, logger, overloadStatus: 529, tracing, ...options });
  const app = express();
  app.post(
    '/v1/completions',
    express.json(),
    completionRoute({ models, dispatcher, records, tracing, metrics, logger, inFlight: new Set() }, completionFormat),
  );
  app.use('/requests', requestRoutes({ records, tracing, signal: new AbortController().signal }));
  app.use(((error, _request, response, _next) => {
    const shown = error instanceof ApiError ? error : new ApiError(500, String(error));
    if (response.headersSent) response.end();
    else response.status(shown.status).json(shown.body);
  }) as express.ErrorRequestHandler);
  const server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  /** A prompt of 40 tokens, an answer of 4. */
  const complete = (extra: object = {}, headers: Record<string, string> = {}): Promise<Response> => {
    const body = JSON.stringify({ model: 'model', prompt: Array.from({ length: 40 }, (_, i) => i), max_tokens: 4, ...extra });
    return fetch(`${url}/v1/completions`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body });
  };
  const get = async <T>(path: string): Promise<T> => (await (await fetch(`${url}${path}`)).json()) as T;
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  return { ...room, complete, get, [Symbol.asyncDispose]: close };
}
