import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CheckReport, LabSummary } from '../protocol/index.ts';
import { stateLayout } from '../controlplane/stateLayout.ts';
import { startBackend, type Backend } from './backend.ts';

let home: string;
let backend: Backend;

const kubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`;

const lab: Record<string, string> = {
  'lab.yaml': `id: 01-toy
title: Toy
summary: A toy.
steps:
  - {id: one, title: One, goal: Answer 42, durationMinutes: 1}
  - {id: two, title: Two, goal: Look at the cluster, durationMinutes: 2}
`,
  'checks.ts': `export const checks = {
  one: async (ctx) => { ctx.assert({ id: 'answer', title: 'the answer', ok: ctx.answers.n === 42, expected: '42', observed: String(ctx.answers.n), evidence: [ctx.evidence('answer', ctx.answers)], hint: 'a famous number' }); },
  two: async (ctx) => { await ctx.cluster.list('v1', 'Node'); },
};`,
  'solution.ts': `export const solution = { one: async (ctx) => ctx.answer('n', 42), two: async () => { throw new Error('cannot'); } };
export const reset = { one: async () => {}, two: async () => {} };
export const leftovers = async () => [];`,
  'wrong.ts': 'export const wrong = [];',
  'hints.md': '## one\n\n1. Think.\n2. Think more.\n\n### Solution\n\nIt is 42.\n',
};

const start = (): Promise<Backend> => {
  const layout = stateLayout({ DYNAMO_LABS_HOME: home });
  return startBackend({ layout, kubeconfig: path.join(home, 'kc'), labsDir: path.join(home, 'labs'), version: '0' });
};

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'backend-'));
  await mkdir(path.join(home, 'labs', '01-toy'), { recursive: true });
  for (const [name, text] of Object.entries(lab)) await writeFile(path.join(home, 'labs', '01-toy', name), text);
  await writeFile(path.join(home, 'kc'), kubeconfig);
  backend = await start();
});
afterEach(async () => {
  await backend.close();
  await rm(home, { recursive: true, force: true });
});

async function call<T>(method: string, url: string, options: { body?: unknown; token?: string } = {}): Promise<{ status: number; body: T }> {
  return new Promise((resolve, reject) => {
    const request = http.request(
      {
        socketPath: backend.socket,
        method,
        path: url,
        headers: { authorization: `Bearer ${options.token ?? backend.token}`, 'content-type': 'application/json' },
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as T }));
      },
    );
    request.on('error', reject);
    request.end(options.body === undefined ? undefined : JSON.stringify(options.body));
  });
}

const step = '/api/labs/01-toy/steps/one';

describe('backend API', () => {
  it('refuses requests without the token; socket and token file belong to the user alone', async () => {
    expect(await call('GET', '/api/labs', { token: 'guess' })).toMatchObject({ status: 401, body: { error: { code: 'UNAUTHORIZED' } } });
    expect((await stat(backend.socket)).mode & 0o777).toBe(0o600);
    expect((await stat(path.join(home, 'run', 'backend.json'))).mode & 0o777).toBe(0o600);
  });

  it('fails a check with expected, observed and evidence, and passes it after the answer', async () => {
    const failed = await call<CheckReport>('POST', `${step}/check`);
    expect(failed.body).toMatchObject({ verdict: 'FAIL', assertions: [{ id: 'answer', observed: 'undefined', hint: 'a famous number', evidence: ['e1'] }] });
    await call('POST', `${step}/answer`, { body: { name: 'n', value: 42 } });
    expect((await call<CheckReport>('POST', `${step}/check`)).body.verdict).toBe('PASS');
    const { body } = await call<LabSummary>('GET', '/api/labs/01-toy');
    expect(body.steps[0]).toMatchObject({ state: 'passed', attempts: 2, passedAt: expect.any(String) as string });
  });

  it('is an ERROR, not a FAIL, when the cluster does not answer', async () => {
    expect((await call<CheckReport>('POST', '/api/labs/01-toy/steps/two/check')).body).toMatchObject({
      verdict: 'ERROR',
      error: { code: 'CLUSTER_UNREACHABLE' },
    });
  });

  it('hands out the hint ladder one by one, records the solution, solves, and resets', async () => {
    expect((await call('GET', `${step}/hints`)).body).toEqual([]);
    expect((await call('POST', `${step}/hints`)).body).toEqual({ index: 0, total: 2, markdown: 'Think.' });
    expect((await call('POST', `${step}/hints`)).body).toEqual({ index: 1, total: 2, markdown: 'Think more.' });
    expect((await call('GET', `${step}/hints`)).body).toEqual(['Think.', 'Think more.']);
    expect((await call('POST', `${step}/hints`)).body).toMatchObject({ index: 1 });
    expect((await call('POST', `${step}/solution`)).body).toEqual({ markdown: 'It is 42.' });
    expect((await call<CheckReport>('POST', `${step}/solve`)).body.verdict).toBe('PASS');
    expect((await call('POST', '/api/labs/01-toy/steps/two/solve')).body).toMatchObject({ error: { code: 'SOLUTION_FAILED' } });
    const { body } = await call<LabSummary>('POST', '/api/labs/01-toy/reset');
    expect(body.steps[0]).toMatchObject({ state: 'todo', attempts: 0, hintsShown: 0, solutionShown: false });
  });

  it('keeps progress over a restart, and sets a broken progress file aside', async () => {
    await call('POST', `${step}/answer`, { body: { name: 'n', value: 42 } });
    await call('POST', `${step}/check`);
    await backend.close();
    backend = await start();
    expect((await call<LabSummary>('GET', '/api/labs/01-toy')).body.steps[0]?.state).toBe('passed');
    await backend.close();
    await writeFile(path.join(home, 'progress', 'progress.json'), '{broken');
    backend = await start();
    expect((await call<LabSummary>('GET', '/api/labs/01-toy')).body.steps[0]?.state).toBe('todo');
  });

  it('names what is wrong with a request', async () => {
    expect(await call('GET', '/api/labs/02-none')).toMatchObject({
      status: 404,
      body: { error: { code: 'UNKNOWN_LAB', message: expect.stringContaining('01-toy') as string } },
    });
    expect(await call('POST', '/api/labs/01-toy/steps/none/check')).toMatchObject({ status: 404, body: { error: { code: 'UNKNOWN_STEP' } } });
    expect(await call('POST', `${step}/answer`, { body: { value: 1 } })).toMatchObject({
      status: 400,
      body: { error: { message: expect.stringContaining('name') as string } },
    });
    expect(await call('GET', '/api/nothing')).toMatchObject({ status: 404, body: { error: { code: 'NOT_FOUND' } } });
  });

  it('streams events with ids and resumes after Last-Event-ID', async () => {
    const listen = (lastId?: string): Promise<{ next: () => Promise<string>; close: () => void }> =>
      new Promise((resolve, reject) => {
        const request = http.get(
          {
            socketPath: backend.socket,
            path: '/api/events',
            headers: { authorization: `Bearer ${backend.token}`, ...(lastId !== undefined && { 'last-event-id': lastId }) },
          },
          (response) => {
            response.setEncoding('utf8');
            const chunks = response[Symbol.asyncIterator]() as AsyncIterator<string>;
            resolve({ next: async () => (await chunks.next()).value as string, close: () => request.destroy() });
          },
        );
        request.on('error', reject);
      });
    const first = await listen();
    expect(await first.next()).toMatch(/^id: 0\nevent: step\n/);
    await call('POST', `${step}/solution`);
    let text = '';
    while (!text.includes('"solutionShown":true')) text += await first.next();
    expect(text).toMatch(/id: 1\nevent: step/);
    first.close();
    await call('POST', `${step}/hints`);
    const second = await listen('1');
    const resumed = await second.next();
    expect(resumed).toMatch(/^id: 2\nevent: step\n/);
    expect(resumed).toContain('"hintsShown":1');
    second.close();
    expect(JSON.parse(await readFile(path.join(home, 'run', 'backend.json'), 'utf8'))).toMatchObject({ socket: backend.socket });
  });
});
