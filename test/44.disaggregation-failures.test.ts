import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineOutput, PrefillResult, PreprocessedRequest, RequestRecord } from '../backend/src/protocol/index.ts';
import { TcpRequestClient, tcpOptionsFromEnv } from '../backend/src/runtime/index.ts';
import { type Answer, complete, sameWords } from './support/completions.ts';
import { randomTokens, seededRandom } from './support/randomPrompts.ts';
import { poolsEmpty, ready, recordOf, transferredBytes, workerState, type WorkerState } from './support/requestRecords.ts';
import { eventually, getJson, servingGroup, type ServingGroup, type ServingProcess } from './support/servingGroup.ts';

const model = 'Qwen/Qwen2.5-1.5B-Instruct';
const random = seededRandom(4_400);
const words = { model, max_tokens: 8, temperature: 0, ignore_eos: true, logprobs: 1 };

let group: ServingGroup;
beforeAll(async () => {
  group = await servingGroup({ DYNAMO_LABS_KV_LEASE_SECONDS: '3' });
});
afterAll(async () => group?.close());

interface Graph {
  prefill: ServingProcess;
  decode: ServingProcess;
  frontend: ServingProcess;
  workers: ServingProcess[];
}
let graphs = 0;
/** One prefill worker, one decode worker, one frontend, in a Dynamo namespace of their own. */
async function graph(options: { prefillEnv?: object; decodeEnv?: object; decodeArgs?: string[]; frontendArgs?: string[] } = {}): Promise<Graph> {
  const namespace = { DYN_NAMESPACE: `graph-${graphs++}` };
  const [prefill, decode] = await Promise.all([
    group.startPrefillWorker([], { ...namespace, ...options.prefillEnv }),
    group.startDecodeWorker(options.decodeArgs, { ...namespace, ...options.decodeEnv }),
  ]);
  const frontend = await group.startFrontend(['--router-mode', 'kv', ...(options.frontendArgs ?? ['--decode-fallback'])], namespace);
  await ready(frontend, { decode: 1, prefill: 1 });
  return { prefill, decode, frontend, workers: [prefill, decode] };
}
async function end({ workers, frontend }: Graph): Promise<void> {
  for (const one of [frontend, ...workers]) one.kill('SIGTERM');
  await Promise.all([frontend, ...workers].map(({ exited }) => exited));
}
async function ask({ frontend }: Graph, prompt: number[]): Promise<{ answer: Answer; record: RequestRecord }> {
  const answer = await complete(frontend, { ...words, prompt });
  return { answer, record: await recordOf(frontend, answer.requestId) };
}

describe('conditional disaggregation', () => {
  it('short and cached prompts stay where the answer is made; the bounds are exact, each decision has its reason, and all of it can be changed at run time', async () => {
    const graphed = await graph();
    const { frontend } = graphed;
    const change = async (settings: object): Promise<Response> =>
      fetch(`${frontend.url}/conditional_disagg`, { method: 'POST', body: JSON.stringify(settings), headers: { 'content-type': 'application/json' } });
    expect(await getJson(`${frontend.url}/conditional_disagg`)).toMatchObject({
      policy: 'always_remote',
      max_local_prefill_length: 2048,
      max_local_prefill_ratio: 0.7,
    });
    const long = randomTokens(random, 512);
    expect((await ask(graphed, long)).record).toMatchObject({ path: 'disaggregated', conditional: { policy: 'always_remote', remote: true } });
    await eventually(
      () => getJson<{ indexed_blocks: number }>(`${frontend.url}/router/state`),
      ({ indexed_blocks }) => indexed_blocks >= 32,
    );

    expect((await change({ policy: 'isl_bounding', max_local_prefill_length: 100 })).status).toBe(200);
    const before = await transferredBytes(graphed.decode);
    // 99 and 100 new tokens after 512 that the decode worker holds.
    const stays = (await ask(graphed, [...long, ...randomTokens(random, 99)])).record;
    expect(stays).toMatchObject({
      path: 'local_prefill',
      conditional: { remote: false, isl_tokens: 611, decode_cached_tokens: 512, effective_isl_tokens: 99 },
    });
    expect(stays.transfer).toBeUndefined();
    expect(stays.reason).toContain('99 of 611 tokens');
    expect(stays.decode[0]?.prompt).toMatchObject({ cached_tokens: 512, computed_tokens: 99 });
    expect(await transferredBytes(graphed.decode)).toEqual(before);
    const goes = (await ask(graphed, [...long, ...randomTokens(random, 100)])).record;
    expect(goes).toMatchObject({ path: 'disaggregated', conditional: { remote: true, decode_cached_tokens: 512, effective_isl_tokens: 100 } });
    // Few tokens, but all of them new: the other bound.
    expect((await ask(graphed, randomTokens(random, 50))).record).toMatchObject({ path: 'disaggregated', conditional: { effective_isl_tokens: 50 } });

    // As seed 004 has it, short prompts stay: without that bound.
    expect((await change({ max_local_prefill_ratio: 1 })).status).toBe(200);
    expect((await ask(graphed, randomTokens(random, 99))).record).toMatchObject({ path: 'local_prefill', conditional: { effective_isl_tokens: 99 } });
    expect((await ask(graphed, randomTokens(random, 100))).record).toMatchObject({ path: 'disaggregated', conditional: { effective_isl_tokens: 100 } });

    const wrong = await change({ max_local_prefill_size: 1 });
    expect([wrong.status, await wrong.json()]).toMatchObject([400, { error: { param: 'max_local_prefill_size' } }]);
    expect((await change({ policy: 'always_remote' })).status).toBe(200);
    expect((await ask(graphed, long)).record).toMatchObject({ path: 'disaggregated' });
    await poolsEmpty(graphed.workers);
    await end(graphed);
  });
});

/** The reader is told at once that what it wants has expired. */
const expired = { DYNAMO_LABS_TRANSFER_FAULTS: JSON.stringify({ seed: 1, plan: [{ kind: 'expire', side: 'read', times: 1_000_000 }] }) };

describe('a transfer that fails', () => {
  const prompt = randomTokens(random, 300);
  let expected: unknown;
  beforeAll(async () => {
    const sound = await graph();
    expected = sameWords((await ask(sound, prompt)).answer);
    await end(sound);
  });

  it('falls back: the decode worker computes the prompt, the answer is the same, the record has the cause', async () => {
    const graphed = await graph({ decodeEnv: expired });
    const { answer, record } = await ask(graphed, prompt);
    expect(sameWords(answer)).toEqual(expected);
    expect(record).toMatchObject({ path: 'fallback', status: 'ok', cause: { plane: 'kv_transfer', code: 'KV_TRANSFER_FAILED' } });
    expect(record.cause?.message).toContain('EXPIRED');
    expect(record.decode.at(-1)?.prompt).toMatchObject({ prompt_tokens: 300, computed_tokens: 300 });
    const states = await poolsEmpty(graphed.workers);
    expect(states[1]?.disaggregation.faults.taken_effect.length).toBeGreaterThan(0);
    await end(graphed);
  });

  it('is returned, where that is asked for: a typed error before any token', async () => {
    const graphed = await graph({ decodeEnv: expired, frontendArgs: ['--enforce-disagg'] });
    const { answer, record } = await ask(graphed, prompt);
    expect(answer).toMatchObject({ text: '', tokens: [], error: { code: expect.stringMatching(/handoff_failed|kv_transfer_failed/i) } });
    expect(answer.status).toBeGreaterThanOrEqual(500);
    expect(answer.error?.message).toContain('EXPIRED');
    expect(record).toMatchObject({ path: 'error', status: 'error', cause: { plane: 'kv_transfer', code: 'KV_TRANSFER_FAILED' } });
    await poolsEmpty(graphed.workers);
    await end(graphed);
  });

  it('is made good by the decode worker itself with kv_load_failure_policy recompute', async () => {
    const config = '{"kv_connector":"NixlConnector","kv_role":"kv_both","kv_load_failure_policy":"recompute"}';
    const graphed = await graph({ decodeEnv: expired, decodeArgs: ['--kv-transfer-config', config], frontendArgs: ['--enforce-disagg'] });
    const { answer, record } = await ask(graphed, prompt);
    expect(sameWords(answer)).toEqual(expected);
    expect(record).toMatchObject({ path: 'fallback', status: 'ok', transfer: { status: 'failed', bytes: 0 }, cause: { plane: 'kv_transfer' } });
    await poolsEmpty(graphed.workers);
    await end(graphed);
  });
});

describe('workers whose blocks do not fit', () => {
  const requestTo = (state: WorkerState): { address: string; endpoint: string } => ({ address: state.request_plane.address, endpoint: 'generate' });

  it.each([
    { what: 'block size', args: ['--block-size', '32'], env: {}, values: [/block_size/, /\b16\b/, /\b32\b/] },
    { what: 'model', args: [], env: { DYNAMO_LABS_ENGINE_MODEL: 'smollm2-135m-instruct' }, values: [/model/] },
  ])('another $what: refused by frontend and decode worker, both values named, nothing moved', async ({ args, env, values }) => {
    const namespace = { DYN_NAMESPACE: `misfit-${graphs++}` };
    const [prefill, decode] = await Promise.all([group.startPrefillWorker(args, { ...namespace, ...env }), group.startDecodeWorker([], namespace)]);
    const frontend = await group.startFrontend([], namespace);
    // The frontend does not put them together…
    await eventually(
      async () => frontend.log(),
      (log) => /worker \S+ is not used: /.test(log),
    );
    const answered = await complete(frontend, { ...words, prompt: randomTokens(random, 64) });
    expect(await recordOf(frontend, answered.requestId)).toMatchObject({ path: 'aggregated', status: 'ok' });
    // …and a decode worker that is told to read such blocks looks before it takes anything.
    const [from, to] = await Promise.all([workerState(prefill), workerState(decode)]);
    const client = new TcpRequestClient(tcpOptionsFromEnv({}));
    const request: PreprocessedRequest = {
      request_id: 'misfit',
      model,
      token_ids: randomTokens(random, 100),
      stop_conditions: { max_tokens: 1, min_tokens: 1 },
      sampling_options: { temperature: 0 },
      output_options: {},
    };
    let last: EngineOutput | undefined;
    const prefillCall = { ...requestTo(from), requestId: 'misfit', payload: { ...request, kv_transfer_params: { do_remote_decode: true } } };
    for await (const output of client.call<EngineOutput>(prefillCall)) last = output;
    const prefill_result: PrefillResult = { disaggregated_params: last!.disaggregated_params! };
    const reading = client.call({ ...requestTo(to), requestId: 'misfit', payload: { ...request, prefill_result } }).next();
    const error = await reading.then(
      () => undefined,
      (reason: unknown) => reason as Error & { reason?: string },
    );
    expect(error?.reason).toBe('KV_INCOMPATIBLE');
    for (const value of [...values, from.model.fingerprint.slice(0, 8), to.model.fingerprint.slice(0, 8)])
      if (value instanceof RegExp || from.model.fingerprint !== to.model.fingerprint) expect(error?.message).toMatch(value);
    expect(await transferredBytes(decode)).toEqual({ read: 0, served: 0 });
    expect((await workerState(decode)).engine).toMatchObject({ usedBlocks: 0, running: 0, waiting: 0 });
    await client.close();
    await poolsEmpty([prefill, decode]);
    for (const one of [frontend, prefill, decode]) one.kill('SIGTERM');
    await Promise.all([frontend, prefill, decode].map(({ exited }) => exited));
  });
});

describe('a client that leaves', () => {
  let graphed: Graph;
  const sum = (states: WorkerState[], pick: (state: WorkerState) => number): number => states.reduce((total, state) => total + pick(state), 0);
  beforeAll(async () => {
    // Each chunk is read after a while, and a prompt is computed in many steps.
    const slow = { DYNAMO_LABS_TRANSFER_FAULTS: JSON.stringify({ seed: 1, plan: [{ kind: 'delay', side: 'read', times: 1_000_000, ms: 250 }] }) };
    graphed = await graph({ decodeEnv: slow });
  });

  it.each<[string, (states: WorkerState[]) => boolean]>([
    ['while its prompt is computed', ([prefill]) => (prefill?.engine.running ?? 0) > 0],
    ['while its blocks are read', ([, decode]) => (decode?.engine.waitingForRemoteKvs ?? 0) > 0],
    ['while its answer is streamed', ([, decode]) => (decode?.engine.running ?? 0) > 0],
  ])('%s: the blocks of both workers are free again', async (_when, reached) => {
    const states = (): Promise<WorkerState[]> => Promise.all(graphed.workers.map(workerState));
    const controller = new AbortController();
    const requestId = `leaves-${Math.floor(random() * 1e9)}`;
    const request = { ...words, prompt: randomTokens(random, 6_000), max_tokens: 2_000, stream: true };
    const answer = complete(graphed.frontend, request, { requestId, signal: controller.signal });
    const seen = await eventually(states, reached);
    expect(sum(seen, ({ engine }) => engine.usedBlocks)).toBeGreaterThan(0);
    controller.abort();
    await answer;
    expect(await recordOf(graphed.frontend, requestId)).toMatchObject({ status: 'cancelled' });
    await poolsEmpty(graphed.workers);
    // Nothing of it hinders the next one.
    const { record } = await ask(graphed, randomTokens(random, 40));
    expect(record).toMatchObject({ path: 'disaggregated', status: 'ok' });
  });
});
