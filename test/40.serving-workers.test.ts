import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RoutingDecision } from '../backend/src/protocol/index.ts';
import { eventually, getJson, servingGroup, type ServingGroup } from './support/servingGroup.ts';
import { failure, model, ready, type EngineState, type RouterState } from './support/servingStates.ts';

describe('serving: workers that go', () => {
  let group: ServingGroup;
  beforeAll(async () => {
    group = await servingGroup();
  });
  afterAll(async () => group?.close());

  it('a worker that is killed is passed over at once and forgotten when its lease ends', async () => {
    const [victim, survivor] = await Promise.all([group.startWorker(), group.startWorker()]);
    const frontend = await group.startFrontend(['--router-mode', 'round-robin']);
    await ready(frontend, 2);
    const client = new OpenAI({ baseURL: `${frontend.url}/v1`, apiKey: 'none', maxRetries: 0 });
    victim?.kill('SIGKILL');
    await victim?.exited;
    const survivorId = (await getJson<EngineState>(`${survivor?.url}/engine/state`)).instance_id;
    for (let i = 0; i < 4; i++) {
      const { response } = await client.completions.create({ model, prompt: `Request ${i}`, max_tokens: 3 }).withResponse();
      const made = await getJson<RoutingDecision>(`${frontend.url}/router/decisions/${response.headers.get('x-request-id')}`);
      expect(made.chosen.worker_id).toBe(survivorId);
    }
    expect(frontend.log()).toContain('trying another worker: request plane (tcp)');
    await eventually(
      () => getJson<RouterState>(`${frontend.url}/router/state`),
      ({ workers }) => workers.length === 1,
    );
    survivor?.kill('SIGKILL');
    await survivor?.exited;
    expect(await failure(client.completions.create({ model, prompt: 'x', max_tokens: 1 }))).toMatchObject({ status: 503 });
    await eventually(
      () => getJson<RouterState>(`${frontend.url}/router/state`),
      ({ workers }) => workers.length === 0,
    );
    expect(await failure(client.completions.create({ model, prompt: 'x', max_tokens: 1 }))).toMatchObject({ status: 503, code: 'no_workers' });
    expect((await client.models.list()).data).toEqual([]);
  });

  it('a worker that is asked to stop finishes what it has and leaves', async () => {
    const worker = await group.startWorker();
    const frontend = await group.startFrontend();
    await ready(frontend, 1);
    const client = new OpenAI({ baseURL: `${frontend.url}/v1`, apiKey: 'none', maxRetries: 0 });
    const stream = await client.completions.create({ model, prompt: 'Go on', max_tokens: 400, stream: true, ...({ ignore_eos: true } as object) });
    const iterator = stream[Symbol.asyncIterator]();
    await iterator.next();
    worker.kill('SIGTERM');
    let finish: string | null | undefined;
    for (let item = await iterator.next(); item.done !== true; item = await iterator.next()) finish = item.value.choices[0]?.finish_reason ?? finish;
    expect(finish).toBe('length');
    expect(await worker.exited).toBe(0);
    expect(worker.log()).toContain('Worker stopped');
  });

  it('the image’s python3 knows its two modules, says its version, and refuses as argparse does', async () => {
    const unknown = await group.python(['-m', 'dynamo.vllm', '--model', 'x', '--frobnicate']);
    expect(unknown).toMatchObject({ code: 2 });
    expect(unknown.output).toContain('error: unrecognized arguments: --frobnicate');
    expect(await group.python(['-m', 'dynamo.frontend', '--version'], { DYNAMO_LABS_RUNTIME_VERSION: '0.8.0' })).toEqual({
      code: 0,
      output: 'Dynamo Frontend 0.8.0\n',
    });
    const other = await group.python(['-m', 'dynamo.sglang']);
    expect(other.code).toBe(1);
    expect(other.output).toContain('No module named dynamo.sglang');
    const missing = await group.python(['-m', 'dynamo.vllm', '--model', '/nowhere'], { DYN_SYSTEM_PORT: '-1' });
    expect(missing.code).toBe(1);
    expect(missing.output).toContain('there is no such folder');
  });
});
