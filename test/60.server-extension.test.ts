import { rm, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, expect, test } from 'vitest';

import type { LabSummary } from '../backend/src/protocol/lab.ts';
import { FakeBackend } from './support/fakeBackend.ts';
import { JupyterServer } from './support/jupyterServer.ts';

let home: string;
let backend: FakeBackend;
let jupyter: JupyterServer;
/** What a browser that has logged in sends. */
let cookies: { cookie: string; xsrf: string };

beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'dynamo-labs-jupyter-'));
  backend = await FakeBackend.start(home);
  jupyter = await JupyterServer.start({ home, baseUrl: '/user/learner/' });
  const page = await fetch(new URL(`lab?token=${jupyter.token}`, jupyter.url), { redirect: 'manual' });
  const jar = page.headers.getSetCookie().map((line) => line.split(';')[0]!);
  cookies = { cookie: jar.join('; '), xsrf: jar.find((c) => c.startsWith('_xsrf='))!.slice('_xsrf='.length) };
});

afterAll(async () => {
  await jupyter?.[Symbol.asyncDispose]();
  await backend?.[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

const withToken = (): Record<string, string> => ({ authorization: `token ${jupyter.token}` });

async function api(route: string, init: RequestInit = {}): Promise<Response> {
  return await fetch(new URL(`dynamo-labs/api/${route}`, jupyter.url), { redirect: 'manual', signal: AbortSignal.timeout(30_000), ...init });
}

test('an authenticated request reaches the backend with the backend’s own token', async () => {
  const response = await api('labs', { headers: withToken() });
  expect(response.status).toBe(200);
  expect(((await response.json()) as LabSummary[])[0]!.id).toBe('03-kv-aware-routing');
  expect(backend.seen.at(-1)!.headers['authorization']).toBe(`Bearer ${backend.token}`);
  expect(backend.seen.at(-1)!.headers['cookie']).toBeUndefined();
});

test.each(['GET', 'POST'])('%s without authentication is refused with 403 JSON and never reaches the backend', async (method) => {
  const before = backend.seen.length;
  const response = await api('labs', { method });
  expect(response.status).toBe(403);
  expect(response.headers.get('content-type')).toContain('application/json');
  expect(await response.json()).toMatchObject({ message: expect.any(String) });
  expect((await api('labs', { method, headers: { authorization: 'token wrong' } })).status).toBe(403);
  expect(backend.seen.length).toBe(before);
});

test('a write by cookie needs the XSRF token', async () => {
  const before = backend.seen.length;
  const route = 'labs/03-kv-aware-routing/steps/nats/hints';
  expect((await api(route, { method: 'POST', headers: { cookie: cookies.cookie } })).status).toBe(403);
  expect(backend.seen.length).toBe(before);
  const good = await api(route, { method: 'POST', headers: { cookie: cookies.cookie, 'x-xsrftoken': cookies.xsrf } });
  expect(good.status).toBe(200);
  expect(await good.json()).toMatchObject({ index: 0, total: 3 });
});

test('another origin is refused, also with the cookie', async () => {
  const before = backend.seen.length;
  const foreign = { cookie: cookies.cookie, origin: 'http://evil.example', referer: 'http://evil.example/' };
  expect([403, 404]).toContain((await api('labs', { headers: foreign })).status);
  expect([403, 404]).toContain((await api('labs/x/reset', { method: 'POST', headers: { ...foreign, 'x-xsrftoken': cookies.xsrf } })).status);
  for (const site of ['cross-site', 'same-site'])
    expect((await api('events', { headers: { cookie: cookies.cookie, 'sec-fetch-site': site } })).status).toBe(403);
  expect(backend.seen.length).toBe(before);
});

test('status codes and error bodies are kept', async () => {
  const unknown = await api('labs/none', { headers: withToken() });
  expect(unknown.status).toBe(404);
  expect(await unknown.json()).toEqual({ error: { code: 'UNKNOWN_LAB', message: 'there is no lab none' } });
  const check = async (): Promise<number> => (await api('labs/03-kv-aware-routing/steps/deploy/check', { method: 'POST', headers: withToken() })).status;
  expect((await Promise.all([check(), check()])).sort()).toEqual([200, 409]);
});

test('no write is lost when the backend answers before it has read the body', async () => {
  const write = async (): Promise<number> =>
    (await api('labs/03-kv-aware-routing/steps/nats/solution', { method: 'POST', headers: withToken(), body: '{}' })).status;
  for (let round = 0; round < 20; round++) expect(await Promise.all([write(), write(), write(), write(), write()])).toEqual([200, 200, 200, 200, 200]);
});

test('the path arrives as it was sent', async () => {
  await api('labs/a%2Fb?x=1&y=%20', { headers: withToken() });
  expect(backend.seen.at(-1)!.path).toBe('/api/labs/a%2Fb?x=1&y=%20');
});

test('events arrive live, resume by Last-Event-ID, and the way is closed when the browser leaves', async () => {
  const leave = new AbortController();
  const live = await api('events', { headers: withToken(), signal: leave.signal });
  expect(live.headers.get('content-type')).toBe('text/event-stream');
  const reader = live.body!.pipeThrough(new TextDecoderStream()).getReader();
  const until = async (text: string): Promise<string> => {
    let seen = '';
    while (!seen.includes(text)) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`the stream ended before ${text}; it brought ${seen}`);
      seen += value;
    }
    return seen;
  };
  await until('hello');
  backend.publish({ type: 'reset', lab: 'first' });
  const id = Number(/id: (\d+)\nevent: reset\ndata: .*"first"/.exec(await until('"first"'))![1]);
  backend.publish({ type: 'reset', lab: 'second' });
  await until('"second"');

  const closedBefore = backend.streams.closed;
  leave.abort();
  await expect.poll(() => backend.streams.closed, { timeout: 10_000 }).toBe(closedBefore + 1);

  const resumed = await api('events', { headers: { ...withToken(), 'last-event-id': String(id) } });
  const again = resumed.body!.pipeThrough(new TextDecoderStream()).getReader();
  let seen = '';
  while (!seen.includes('"second"')) seen += (await again.read()).value;
  expect(seen).not.toContain('"first"');
  await again.cancel();
});

test('a backend that is down is a 502 that says what to do; a restarted one is found', async () => {
  await backend[Symbol.asyncDispose]();
  const down = await api('labs', { headers: withToken() });
  expect(down.status).toBe(502);
  expect(await down.json()).toEqual({ error: { code: 'BACKEND_DOWN', message: expect.stringContaining('npm start') } });
  await rm(path.join(home, 'run'), { recursive: true });
  expect((await api('labs', { headers: withToken() })).status).toBe(502);
  backend = await FakeBackend.start(home);
  expect((await api('labs', { headers: withToken() })).status).toBe(200);
});

test('nothing of this was an error for Jupyter', () => expect(jupyter.log.join('')).not.toContain('Traceback'));
