import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { LlmEngine } from '../engine/index.ts';
import { createLogger } from '../observability/index.ts';
import type { EngineOutput, KvCacheEvent, PreprocessedRequest } from '../protocol/index.ts';
import { MemoryDiscovery, MemoryStore, TcpRequestClient, tcpOptionsFromEnv, type Instance } from '../runtime/index.ts';
import { parseWorkerArguments } from './arguments.ts';
import { Worker } from './worker.ts';

/** An engine that repeats the prompt's last token, one per turn, and tells of one block per request. */
class EchoEngine implements LlmEngine {
  readonly model = {
    name: 'echo',
    architecture: 'none',
    parameters: 0,
    eosTokenIds: [0],
    vocabSize: 100,
    contextLength: 64,
    blockTokens: 16,
    kvBytesPerBlock: 1,
    fingerprint: 'echo',
  };
  readonly kvPool = new ArrayBuffer(0);
  readonly #listeners = new Set<(event: KvCacheEvent) => void>();
  closed = false;
  failedStepsInARow = 0;
  events = 0;
  running = 0;

  async *generate(request: PreprocessedRequest, signal: AbortSignal): AsyncIterable<EngineOutput> {
    const count = request.token_ids.length;
    if (this.failedStepsInARow > 0) {
      yield { token_ids: [], finish_reason: 'error', error: { code: 'STEP_FAILED', message: 'not finite' } };
      return;
    }
    if (request.token_ids.includes(99)) {
      yield { token_ids: [], finish_reason: 'error', error: { code: 'INVALID_REQUEST', message: 'token 99' } };
      return;
    }
    if (request.token_ids.includes(98)) {
      this.running = 1; // its model does not come back
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      return;
    }
    const event: KvCacheEvent = { eventId: this.events++, dpRank: 0, data: { type: 'stored', blocks: [{ blockHash: 1n, tokensHash: 1n }] } };
    for (const listener of this.#listeners) listener(event);
    const prompt = { prompt_tokens: count, cached_tokens: 0, computed_tokens: count, cached_blocks: 0, queue_us: 0, prefill_us: 1 };
    for (let i = 1; i <= request.stop_conditions.max_tokens; i++) {
      await new Promise(setImmediate);
      if (signal.aborted) return;
      const last = i === request.stop_conditions.max_tokens;
      yield { token_ids: [request.token_ids.at(-1) ?? 0], ...(i === 1 ? { prompt } : {}), ...(last ? { finish_reason: 'length' } : {}) };
    }
  }
  onKvEvent(listener: (event: KvCacheEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }
  dumpKvEvents(): KvCacheEvent[] {
    return [];
  }
  async clearPrefixCache(): Promise<number> {
    return 3;
  }
  stats() {
    const zero = {
      usedBlocks: 0,
      cachedBlocks: 0,
      heldBlocks: 0,
      waiting: 0,
      waitingForRemoteKvs: 0,
      cachedTokens: 0,
      transferredTokens: 0,
      hostCachedTokens: 0,
    };
    return {
      totalBlocks: 8,
      ...zero,
      running: this.running,
      promptTokens: 5,
      computedTokens: 5,
      generatedTokens: 0,
      steps: 0,
      failedStepsInARow: this.failedStepsInARow,
      preemptions: 0,
      lastKvEventId: this.events - 1,
    };
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.closed = true;
  }
}

const models = mkdtempSync(path.join(tmpdir(), 'dynamo-labs-worker-'));
beforeAll(() => {
  mkdirSync(path.join(models, 'tiny'));
  writeFileSync(path.join(models, 'tiny', 'tokenizer.json'), '{"model":{"vocab":{"a":99}}}');
});
afterAll(() => rmSync(models, { recursive: true }));

async function started(argv: string[] = [], loading: Promise<void> = Promise.resolve(), extraEnv: Record<string, string> = {}) {
  const env = { ...extraEnv, DYNAMO_LABS_MODELS: models, DYN_SYSTEM_PORT: '0', DYN_NAMESPACE: 'ns' };
  const store = new MemoryStore();
  const engine = new EchoEngine();
  const lines: string[] = [];
  const systemPort = Promise.withResolvers<number>();
  const write = (line: string): void => {
    lines.push(line);
    const port = /System status server on port (\d+)/.exec(line)?.[1];
    if (port !== undefined) systemPort.resolve(Number(port));
  };
  const worker = Worker.start({
    flags: parseWorkerArguments(['--model', 'org/model', ...argv], env),
    logger: createLogger({ target: 'worker', write }),
    env,
    discovery: new MemoryDiscovery(store),
    createEngine: async () => {
      await loading;
      return engine;
    },
  });
  worker.catch(() => {});
  const system = async (path: string, method = 'GET') => fetch(`http://127.0.0.1:${await systemPort.promise}${path}`, { method });
  return { worker, store, engine, lines, system };
}

const request = (tokens: number[], maxTokens: number): PreprocessedRequest => ({
  request_id: 'r1',
  model: 'org/model',
  token_ids: tokens,
  stop_conditions: { max_tokens: maxTokens },
  sampling_options: { temperature: 0 },
  output_options: {},
});

async function until(condition: () => boolean): Promise<void> {
  await vi.waitFor(() => expect(condition()).toBe(true), { timeout: 5_000, interval: 2 });
}

describe('Worker', () => {
  it('answers 503 while it loads, is found only when it can answer, and leaves in order', async () => {
    const loaded = Promise.withResolvers<void>();
    const { worker, store, engine, system, lines } = await started([], loaded.promise);
    expect((await system('/health')).status).toBe(503);
    expect((await system('/live')).status).toBe(200);
    expect((await system('/engine/state')).status).toBe(503);
    expect((await system('/engine/clear_prefix_cache', 'POST')).status).toBe(503);
    expect(store.instances.size).toBe(0);
    loaded.resolve();
    const running = await worker;
    const health = await system('/health');
    expect(health.status).toBe(200);
    expect(await health.json()).toMatchObject({ status: 'ready', endpoints: { generate: 'ready' } });
    const [instance] = store.instances.values();
    expect(instance).toMatchObject({
      namespace: 'ns',
      component: 'backend',
      modelCard: { display_name: 'org/model', context_length: 64, kv_events: 'zmq', engine: { name: 'echo', stand_in: true } },
    });
    expect(Object.keys((instance as Instance).endpoints).toSorted()).toEqual(['clear_kv_blocks', 'generate', 'kv_events']);
    await running.close();
    await running.close();
    expect([store.instances.size, engine.closed]).toEqual([0, true]);
    expect(lines.join('')).toMatch(/Loading model org\/model[\s\S]*added model model_name="org\/model"[\s\S]*Worker stopped/);
  });

  it('serves, counts and logs a request, and refuses what no worker could serve', async () => {
    const { worker, store, system, lines } = await started();
    const running = await worker;
    const client = new TcpRequestClient(tcpOptionsFromEnv({}));
    const address = [...store.instances.values()][0]?.endpoints['generate']?.tcp ?? '';
    const call = async (payload: unknown, signal?: AbortSignal): Promise<EngineOutput[]> => {
      const outputs: EngineOutput[] = [];
      for await (const output of client.call<EngineOutput>({ address, endpoint: 'generate', requestId: 'r1', payload, ...(signal && { signal }) }))
        outputs.push(output);
      return outputs;
    };
    expect((await call(request([7, 8], 3))).map(({ token_ids }) => token_ids)).toEqual([[8], [8], [8]]);
    expect(lines.join('')).toContain('Prefix cache miss: 0/0 blocks (0 tokens) request_id=r1');
    await expect(call(request([99], 3))).rejects.toMatchObject({ code: 'REFUSED', reason: 'INVALID_REQUEST' });
    await expect(
      call(
        request(
          Array.from({ length: 64 }, () => 1),
          1,
        ),
      ),
    ).rejects.toMatchObject({ reason: 'PROMPT_TOO_LONG', message: expect.stringMatching(/64.*64/) });
    await expect(call({})).rejects.toMatchObject({ reason: 'BAD_REQUEST', message: expect.stringContaining('request_id') });
    for await (const _ of client.call({ address, endpoint: 'generate', requestId: 'r2', payload: request([1], 1_000_000) })) break; // a stop string came
    await until(() => lines.join('').includes('request finished: stop request_id=r2'));
    await expect(call(request([1], 1_000_000), AbortSignal.timeout(50))).rejects.toMatchObject({ name: 'TimeoutError' });
    const text = await (await system('/metrics')).text();
    expect(text).toMatch(/dynamo_component_requests_total\{.*dynamo_endpoint="generate".*\} 4/);
    expect(text).toMatch(/dynamo_component_request_bytes_total\{.*\} [1-9]/);
    expect(text).toMatch(/dynamo_component_response_bytes_total\{.*\} [1-9]/);
    expect(text).toMatch(/vllm:prompt_tokens_total\{.*\} 5/);
    expect(await (await system('/engine/state')).json()).toMatchObject({
      requests: { total: 4, running: 0, cancelled: 1 },
      kv_events: { enabled: true, last_event_id: 2 },
    });
    expect(await (await system('/engine/clear_prefix_cache', 'POST')).json()).toEqual({ status: 'success', cleared_blocks: 3 });
    expect((await system('/nothing')).status).toBe(404);
    await client.close();
    await running.close();
  });

  it('whose engine fails step after step is dead: unhealthy, forgotten, and says so', async () => {
    const { worker, store, engine, system, lines } = await started();
    const running = await worker;
    const client = new TcpRequestClient(tcpOptionsFromEnv({}));
    const address = [...store.instances.values()][0]?.endpoints['generate']?.tcp ?? '';
    const fail = async (): Promise<void> => {
      engine.failedStepsInARow += 1;
      const answer = client.call({ address, endpoint: 'generate', requestId: 'r1', payload: request([1], 1) }).next();
      await expect(answer).rejects.toMatchObject({ remoteCode: 'STEP_FAILED' });
    };
    await fail();
    await fail();
    expect((await system('/health')).status).toBe(200);
    await fail();
    expect(await running.failed).toMatchObject({ code: 'ENGINE_DEAD', message: expect.stringContaining('3 steps failed in a row') });
    expect([(await system('/health')).status, (await system('/live')).status]).toEqual([503, 503]);
    await until(() => store.instances.size === 0);
    expect(lines.join('')).toContain('EngineDeadError: 3 steps failed');
    await client.close();
    await running.close();
  });

  it('whose model hangs in a step is dead too: who waited is told, and nobody waits without end', async () => {
    const { worker, store, system } = await started([], undefined, { DYNAMO_LABS_STEP_TIMEOUT_SECONDS: '0.2' });
    const running = await worker;
    const client = new TcpRequestClient(tcpOptionsFromEnv({}));
    const address = [...store.instances.values()][0]?.endpoints['generate']?.tcp ?? '';
    const answer = client.call({ address, endpoint: 'generate', requestId: 'r1', payload: request([98], 1) }).next();
    const lost = answer.then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(await running.failed).toMatchObject({ code: 'ENGINE_DEAD', message: 'a step has not finished within 0.2 s' });
    expect([(await system('/health')).status, (await system('/live')).status]).toEqual([503, 503]);
    await until(() => store.instances.size === 0);
    await running.close(0);
    expect(await lost).toBeInstanceOf(Error);
    await client.close();
  });

  it('with the canary: ready while its own request is answered, notready and not live when it is not found or fails', async () => {
    const canary = { DYN_HEALTH_CHECK_ENABLED: 'true', DYN_CANARY_WAIT_TIME: '0.05', DYN_HEALTH_CHECK_REQUEST_TIMEOUT: '2' };
    const loaded = Promise.withResolvers<void>();
    const { worker, store, engine, system, lines } = await started([], loaded.promise, canary);
    const statuses = async () => [(await system('/health')).status, (await system('/live')).status];
    const becomes = (status: number): Promise<void> => vi.waitFor(async () => expect(await statuses()).toEqual([status, status]), { timeout: 5_000 });
    expect(await statuses()).toEqual([503, 503]);
    loaded.resolve();
    const running = await worker;
    await becomes(200);
    const asked = engine.events;
    await until(() => engine.events > asked + 2);
    expect(await statuses()).toEqual([200, 200]);

    const [[id, instance]] = [...store.instances] as [[bigint, Instance]];
    store.instances.delete(id);
    store.changed();
    await becomes(503);
    expect(lines.join('')).toContain(`Health check request failed for generate: instance_id=${id} not found for endpoint "v1/instances/ns/backend/generate"`);
    // Asked at its own address it is well again, which puts it back into a real discovery.
    await becomes(200);
    store.instances.set(id, instance);
    store.changed();

    engine.failedStepsInARow = 1;
    await becomes(503);
    expect(lines.join('')).toContain('Health check error response from generate: request plane (tcp)');
    engine.failedStepsInARow = 0;
    await becomes(200);
    const metrics = await (await system('/metrics')).text();
    expect(metrics).toMatch(/dynamo_component_requests_total\{.*\} 0/);
    await running.close();
    expect(lines.join('')).not.toContain('request finished');
  });

  it('announces no KV events without prefix caching', async () => {
    const { worker, store } = await started(['--no-enable-prefix-caching']);
    const running = await worker;
    expect([...store.instances.values()][0]).toMatchObject({ modelCard: { kv_events: 'none' }, eventChannels: {} });
    await running.close();
  });

  it('stops what it started when the configuration does not fit the model', async () => {
    const { worker, engine, system } = await started(['--max-model-len', '65']);
    await expect(worker).rejects.toMatchObject({ code: 'INVALID_CONFIG', message: expect.stringContaining('max_model_len (65)') });
    expect(engine.closed).toBe(true);
    await expect(system('/health')).rejects.toThrow();
  });
});
