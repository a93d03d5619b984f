import { createParser, type EventSourceMessage } from 'eventsource-parser';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RoutingDecision } from '../backend/src/protocol/index.ts';
import { eventually, getJson, servingGroup, type ServingGroup, type ServingProcess } from './support/servingGroup.ts';
import { failure, messages, model, ready, type EngineState, type RouterState } from './support/servingStates.ts';

describe('serving: two workers behind a KV-aware frontend', () => {
  let group: ServingGroup;
  let frontend: ServingProcess;
  let workers: ServingProcess[];
  let client: OpenAI;
  const decision = (id: string): Promise<RoutingDecision> => getJson(`${frontend.url}/router/decisions/${id}`);
  const chat = (topic: string, extra: Partial<OpenAI.ChatCompletionCreateParamsNonStreaming> = {}) =>
    client.chat.completions.create({ model, messages: messages(topic), max_tokens: 16, temperature: 0, ...extra }).withResponse();

  beforeAll(async () => {
    group = await servingGroup();
    workers = await Promise.all([group.startWorker(), group.startWorker()]);
    frontend = await group.startFrontend(['--router-mode', 'kv']);
    await ready(frontend, 2);
    client = new OpenAI({ baseURL: `${frontend.url}/v1`, apiKey: 'none', maxRetries: 0 });
  });
  afterAll(async () => group?.close());

  it('lists the model under its own name and says who stands in', async () => {
    const { data } = await client.models.list();
    expect(data.map(({ id }) => id)).toEqual([model]);
    expect(await client.models.retrieve(model)).toMatchObject({
      id: model,
      dynamo_labs: { stand_in: true, note: `dynamo-labs:tiny standing in for ${model}` },
    });
  });

  it('sends the same prompt to the worker that holds it, computes less, and answers the same', async () => {
    const first = await chat('the sea');
    const firstId = first.response.headers.get('x-request-id') ?? '';
    const before = await decision(firstId);
    expect(before.outcome).toMatchObject({ status: 'ok', cached_tokens: 0, computed_tokens: before.isl_tokens });
    expect(first.data.system_fingerprint).toContain('standing in for');
    await eventually(
      () => getJson<RouterState>(`${frontend.url}/router/state`),
      (state) => state.indexed_blocks >= before.request_blocks,
    );
    const second = await chat('the sea');
    const after = await decision(second.response.headers.get('x-request-id') ?? '');
    expect(after.chosen).toMatchObject({ worker_id: before.chosen.worker_id, overlap_blocks: before.request_blocks });
    expect(after.chosen.cost).toBeLessThan(Math.max(...after.candidates.map(({ cost }) => cost ?? 0)));
    expect(after.outcome?.computed_tokens).toBeLessThan(before.outcome?.computed_tokens ?? 0);
    expect(second.data.usage?.prompt_tokens_details?.cached_tokens).toBe(before.request_blocks * before.block_size);
    expect(second.data.choices[0]?.message.content).toBe(first.data.choices[0]?.message.content);
    const log = workers.map((worker) => worker.log()).join('');
    expect(log).toMatch(/Prefix cache miss: 0\/\d+ blocks \(0 tokens\)/);
    expect(log).toContain(`Prefix cache hit: ${before.request_blocks}/${before.request_blocks} blocks (${before.request_blocks * before.block_size} tokens)`);
    expect(log).toMatch(/KV events published: stored \d+ blocks/);
  });

  it('streams the same text, with usage at the end', async () => {
    const whole = await chat('mountains');
    const { chosen, request_blocks } = await decision(whole.response.headers.get('x-request-id') ?? '');
    // The events of the first answer come by another plane than the answer.
    await eventually(
      () => getJson<RouterState>(`${frontend.url}/router/state`),
      ({ workers: all }) => all.some(({ worker_id, indexed_blocks }) => worker_id === chosen.worker_id && indexed_blocks >= request_blocks),
    );
    const stream = await client.chat.completions.create({
      model,
      messages: messages('mountains'),
      max_tokens: 16,
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let usage: OpenAI.CompletionUsage | null | undefined;
    const finishes: unknown[] = [];
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      if (chunk.choices[0]?.finish_reason) finishes.push(chunk.choices[0].finish_reason);
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe(whole.data.choices[0]?.message.content);
    expect(finishes).toEqual(['length']);
    expect(usage).toMatchObject({ completion_tokens: 16 });
    expect(usage?.prompt_tokens_details?.cached_tokens).toBeGreaterThan(0);
  });

  it('completes plain prompts, with log probabilities, stops and seeds', async () => {
    const plain = await client.completions.create({ model, prompt: 'Once upon a time', max_tokens: 12, temperature: 0, logprobs: 2 });
    const choice = plain.choices[0];
    expect(choice?.logprobs?.tokens).toHaveLength(12);
    expect(choice?.logprobs?.token_logprobs?.every((value) => value <= 0)).toBe(true);
    expect(Object.keys(choice?.logprobs?.top_logprobs?.[0] ?? {}).length).toBeGreaterThan(0);
    const text = choice?.text ?? '';
    const stop = text.slice(3, 6);
    const stopped = await client.completions.create({ model, prompt: 'Once upon a time', max_tokens: 12, temperature: 0, stop });
    expect(stopped.choices[0]).toMatchObject({ text: text.slice(0, text.indexOf(stop)), finish_reason: 'stop' });
    const seeded = () => client.completions.create({ model, prompt: 'Once upon a time', max_tokens: 12, temperature: 1, seed: 7 });
    expect((await seeded()).choices[0]?.text).toBe((await seeded()).choices[0]?.text);
    const chatted = await chat('rivers', { logprobs: true, top_logprobs: 3 });
    expect(chatted.data.choices[0]?.logprobs?.content?.[0]?.top_logprobs).toHaveLength(3);
  });

  it('says which worker it would be without asking it, and obeys a pin', async () => {
    const state = await getJson<RouterState>(`${frontend.url}/router/state`);
    for (const { worker_id } of state.workers) {
      const { response } = await client.chat.completions
        .create({ model, messages: messages('pins'), max_tokens: 2 }, { headers: { 'x-worker-instance-id': worker_id } })
        .withResponse();
      expect((await decision(response.headers.get('x-request-id') ?? '')).chosen.worker_id).toBe(worker_id);
    }
    const query = { model, messages: messages('pins'), nvext: { annotations: ['query_instance_id'] } };
    const before = await Promise.all(workers.map((worker) => getJson<EngineState>(`${worker.url}/engine/state`)));
    const answer = await fetch(`${frontend.url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify(query) });
    const after = await Promise.all(workers.map((worker) => getJson<EngineState>(`${worker.url}/engine/state`)));
    expect(await answer.json()).toMatchObject({ choices: [], nvext: { worker_id: { decode_worker_id: expect.stringMatching(/^\d+$/) } } });
    expect(after.map(({ requests }) => requests.total)).toEqual(before.map(({ requests }) => requests.total));
    const wrong = await failure(client.chat.completions.create({ model, messages: messages('x') }, { headers: { 'x-worker-instance-id': '1' } }));
    expect(wrong).toMatchObject({ status: 400, code: 'pinned_worker_not_found' });
  });

  it('scores a decision again with other weights, and finds nothing wrong with itself', async () => {
    const { response } = await chat('hindsight');
    const id = response.headers.get('x-request-id') ?? '';
    const other = await getJson<{ formula: string; candidates: unknown[]; sameChoice: boolean }>(
      `${frontend.url}/router/decisions/${id}/what-if?formula=dynamo-0.8&overlap_score_weight=0`,
    );
    expect(other).toMatchObject({ formula: 'dynamo-0.8', candidates: [{}, {}] });
    expect((await fetch(`${frontend.url}/router/decisions/${id}/what-if?overlap=1`)).status).toBe(400);
    expect(await getJson(`${frontend.url}/router/doctor`)).toEqual({ findings: [] });
  });

  it('shows decisions live, again when their outcome is known', async () => {
    const abort = new AbortController();
    const response = await fetch(`${frontend.url}/router/decisions/stream`, { signal: abort.signal });
    const events: EventSourceMessage[] = [];
    const parser = createParser({ onEvent: (event) => events.push(event) });
    const reading = (async () => {
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) parser.feed(new TextDecoder().decode(chunk));
    })().catch(() => {});
    const { response: answered } = await chat('streams of decisions');
    const id = answered.headers.get('x-request-id');
    const own = (): RoutingDecision[] => events.map(({ data }) => JSON.parse(data) as RoutingDecision).filter(({ request_id }) => request_id === id);
    await eventually(
      async () => own().length,
      (count) => count >= 2,
    );
    expect(own().map(({ outcome }) => outcome?.status)).toEqual([undefined, 'ok']);
    abort.abort();
    await reading;
  });

  it('cancels the work when the client leaves', async () => {
    const states = () => Promise.all(workers.map((worker) => getJson<EngineState>(`${worker.url}/engine/state`)));
    const cancelled = async (): Promise<number> => (await states()).reduce((sum, { requests }) => sum + requests.cancelled, 0);
    const before = await cancelled();
    const controller = new AbortController();
    const stream = await client.chat.completions.create(
      { model, messages: messages('endless things'), max_tokens: 7_000, stream: true, ...({ ignore_eos: true } as object) },
      { signal: controller.signal },
    );
    const iterator = stream[Symbol.asyncIterator]();
    for (let i = 0; i < 3; i++) await iterator.next();
    expect((await states()).reduce((sum, { requests }) => sum + requests.running, 0)).toBe(1);
    controller.abort();
    await eventually(states, (all) => all.every(({ requests, engine }) => requests.running === 0 && engine.running === 0));
    expect(await cancelled()).toBe(before + 1);
    const metrics = await (await fetch(`${frontend.url}/metrics`)).text();
    expect(metrics).toMatch(/dynamo_frontend_requests_total\{.*status="error",error_type="cancelled"\} 1\n/);
    await eventually(
      () => getJson<RouterState>(`${frontend.url}/router/state`),
      (state) => state.workers.every(({ active_requests }) => active_requests === 0),
    );
  });

  it('counts under Dynamo’s names', async () => {
    const text = await (await fetch(`${frontend.url}/metrics`)).text();
    for (const name of [
      'dynamo_frontend_requests_total',
      'dynamo_frontend_time_to_first_token_seconds_count',
      'dynamo_frontend_inter_token_latency_seconds_count',
      'dynamo_frontend_disconnected_clients',
      'dynamo_component_router_kv_hit_rate_count',
      'dynamo_component_kv_cache_events_applied',
      'dynamo_router_overhead_total_ms_count',
    ]) {
      expect(text).toMatch(new RegExp(`^${name}(\\{.*\\})? [1-9]`, 'm'));
    }
    const worker = (await Promise.all(workers.map(async ({ url }) => (await fetch(`${url}/metrics`)).text()))).join('\n');
    for (const name of [
      'dynamo_component_requests_total',
      'vllm:prompt_tokens_total',
      'vllm:prefix_cache_hits_total',
      'dynamo_labs_prompt_tokens_computed_total',
    ]) {
      expect(worker).toMatch(new RegExp(`^${name}(\\{.*\\})? [1-9]`, 'm'));
    }
  });

  it('a frontend that comes later learns from the workers what they hold', async () => {
    const known = await getJson<RouterState>(`${frontend.url}/router/state`);
    const late = await group.startFrontend(['--router-mode', 'kv']);
    const state = await eventually(
      () => getJson<RouterState>(`${late.url}/router/state`),
      ({ indexed_blocks }) => indexed_blocks === known.indexed_blocks,
    );
    expect(state.workers.map(({ worker_id, last_event_id }) => [worker_id, last_event_id])).toEqual(
      known.workers.map(({ worker_id, last_event_id }) => [worker_id, last_event_id]),
    );
    late.kill('SIGTERM');
    expect(await late.exited).toBe(0);
  });

  it('without KV events a router believes its own decisions', async () => {
    const blind = await group.startFrontend(['--router-mode', 'kv', '--no-kv-events']);
    await ready(blind, 2);
    const other = new OpenAI({ baseURL: `${blind.url}/v1`, apiKey: 'none', maxRetries: 0 });
    const made: RoutingDecision[] = [];
    for (let i = 0; i < 2; i++) {
      const { response } = await other.chat.completions.create({ model, messages: messages('blindness'), max_tokens: 2 }).withResponse();
      made.push(await getJson(`${blind.url}/router/decisions/${response.headers.get('x-request-id')}`));
    }
    expect(made.map(({ chosen }) => chosen.overlap_blocks)).toEqual([0, made[0]?.request_blocks]);
    expect(made[1]?.chosen.worker_id).toBe(made[0]?.chosen.worker_id);
    expect(await getJson<RouterState>(`${blind.url}/router/state`)).toMatchObject({ kv_events: { followed: false } });
    blind.kill('SIGTERM');
    await blind.exited;
  });

  it('clearing a worker’s cache empties the router’s index of it', async () => {
    for (const { url } of workers) expect((await fetch(`${url}/engine/clear_prefix_cache`, { method: 'POST' })).status).toBe(200);
    await eventually(
      () => getJson<RouterState>(`${frontend.url}/router/state`),
      ({ indexed_blocks }) => indexed_blocks === 0,
    );
  });
});
