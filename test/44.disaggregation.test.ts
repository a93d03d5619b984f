import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RequestRecord } from '../backend/src/protocol/requestRecord.ts';
import { complete, sameWords, type Answer } from './support/completions.ts';
import { randomTokens, seededRandom } from './support/randomPrompts.ts';
import { metric, poolsEmpty, ready, recordOf, transferredBytes, workerState } from './support/requestRecords.ts';
import { servingGroup, type ServingGroup, type ServingProcess } from './support/servingGroup.ts';

const model = 'Qwen/Qwen2.5-1.5B-Instruct';
const blockTokens = 16;
const random = seededRandom(44);

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);
const total = async (workers: readonly ServingProcess[]): Promise<{ read: number; served: number }> => {
  const all = await Promise.all(workers.map(transferredBytes));
  return { read: sum(all.map(({ read }) => read)), served: sum(all.map(({ served }) => served)) };
};
const computed = async (workers: readonly ServingProcess[]): Promise<number> =>
  sum(await Promise.all(workers.map((worker) => metric(worker, 'dynamo_labs_prompt_tokens_computed_total'))));

/** What must hold of every prompt that was computed on one worker and answered by another. */
function expectDisaggregated(record: RequestRecord, length: number): void {
  expect(record).toMatchObject({ path: 'disaggregated', status: 'ok', prompt_tokens: length, migrations: [] });
  const [decode] = record.decode;
  expect(record.prefill?.worker_id).toMatch(/^\d+$/);
  expect(decode?.worker_id).toMatch(/^\d+$/);
  expect(record.prefill?.worker_id).not.toBe(decode?.worker_id);
  const { transfer } = record;
  const prompt = decode?.prompt;
  expect(transfer).toMatchObject({ status: 'ok' });
  expect(transfer?.bytes).toBe((transfer?.blocks ?? NaN) * (transfer?.block_bytes ?? NaN));
  // The decode worker computed nothing of the prompt but its last token, from which it draws the first of the answer.
  expect(prompt).toMatchObject({ prompt_tokens: length, computed_tokens: 1 });
  expect((prompt?.cached_tokens ?? NaN) + (prompt?.transferred_tokens ?? NaN) + (prompt?.computed_tokens ?? NaN)).toBe(length);
  expect(transfer?.tokens).toBe(prompt?.transferred_tokens);
  expect(transfer?.blocks).toBe(Math.ceil((length - 1) / blockTokens) - (prompt?.cached_blocks ?? NaN));
}

const extra = (overlap: string): string[] => [
  '--kv-transfer-config',
  JSON.stringify({ kv_connector: 'NixlConnector', kv_role: 'kv_both', kv_connector_extra_config: { overlap } }),
];
const tcp = { DYNAMO_LABS_TRANSFER_DIR: '' };

describe.each([
  { transport: 'shm', how: 'as it is by default', env: {}, args: [], overlaps: false },
  { transport: 'shm', how: 'while prompts are computed', env: {}, args: extra('always'), overlaps: true },
  { transport: 'tcp', how: 'as it is by default, while prompts are computed', env: tcp, args: [], overlaps: true },
  { transport: 'tcp', how: 'after prompts were computed', env: tcp, args: extra('never'), overlaps: false },
])('prefill here, decode there, over $transport, $how', ({ transport, env, args, overlaps }) => {
  let group: ServingGroup;
  let frontend: ServingProcess;
  let prefill: ServingProcess[];
  let decode: ServingProcess[];
  const answer = async (prompt: number[], more: object = {}): Promise<{ answer: Answer; record: RequestRecord }> => {
    const answered = await complete(frontend, { model, prompt, max_tokens: 6, temperature: 0, logprobs: 2, ignore_eos: true, ...more });
    expect(answered.error).toBeUndefined();
    return { answer: answered, record: await recordOf(frontend, answered.requestId) };
  };

  beforeAll(async () => {
    group = await servingGroup(env);
    const [p1, p2, d1, d2] = await Promise.all([
      group.startPrefillWorker(args),
      group.startPrefillWorker(args),
      group.startDecodeWorker(),
      group.startDecodeWorker(),
    ]);
    prefill = [p1, p2];
    decode = [d1, d2];
    frontend = await group.startFrontend(['--router-mode', 'kv']);
    await ready(frontend, { decode: 2, prefill: 2 });
  });
  afterAll(async () => group?.close());

  it('every prompt, whatever its length: one worker computes it, another reads the blocks and computes one token', async () => {
    const [before, prefillComputed, decodeComputed] = await Promise.all([total(decode), computed(prefill), computed(decode)]);
    const owners = await Promise.all(prefill.map(async (worker) => (await workerState(worker)).instance_id));
    const { kvBytesPerBlock } = (await workerState(decode[0]!)).model;
    const lengths = [2, 15, 16, 17, 18, 33, 100, 513, 2_000];
    const records: RequestRecord[] = [];
    for (const length of lengths) {
      const { record, answer: answered } = await answer(randomTokens(random, length));
      expectDisaggregated(record, length);
      expect(record.transfer).toMatchObject({ transport, block_bytes: kvBytesPerBlock, tokens: length - 1, blocks: Math.ceil((length - 1) / blockTokens) });
      expect(record.prefill?.prompt).toMatchObject({ prompt_tokens: length, computed_tokens: length });
      expect(owners).toContain(record.prefill?.worker_id);
      expect(answered.tokens).toHaveLength(6);
      expect(record.output_tokens).toBe(6);
      records.push(record);
    }
    // A prompt is computed 256 tokens at a time, and what was computed travels meanwhile.
    const ahead = records.map(({ transfer }) => transfer?.overlapped?.blocks ?? 0);
    const some = expect.toSatisfy((blocks) => blocks >= 16);
    if (overlaps) expect(ahead).toEqual([0, 0, 0, 0, 0, 0, 0, some, some]);
    else expect(sum(ahead)).toBe(0);
    const reads = sum(records.map(({ transfer }) => transfer?.overlapped?.reads ?? 0));
    const bytes = sum(records.map(({ transfer }) => transfer?.bytes ?? NaN));
    const after = await total(decode);
    expect(after.read - before.read).toBe(bytes);
    // Memory that is mapped is read without the owner; what goes through a socket is counted at both ends.
    expect((await total(prefill)).served).toBe(transport === 'shm' ? 0 : bytes);
    expect(sum(await Promise.all(prefill.map((worker) => metric(worker, 'dynamo_labs_kv_transfer_leases_ended_total', { end: 'released' }))))).toBe(
      lengths.length + reads,
    );
    expect((await computed(decode)) - decodeComputed).toBe(lengths.length);
    expect((await computed(prefill)) - prefillComputed).toBe(sum(lengths));
    await poolsEmpty([...prefill, ...decode]);
  });

  it('the same prompt again: the prefill worker that knows it is chosen, and only blocks that are missing are read', async () => {
    const prompt = randomTokens(random, 400);
    const first = await answer(prompt);
    expectDisaggregated(first.record, 400);
    await expect
      .poll(async () => {
        const { record, answer: again } = await answer(prompt);
        expectDisaggregated(record, 400);
        expect(sameWords(again)).toEqual(sameWords(first.answer));
        return record.prefill;
      })
      .toMatchObject({ worker_id: first.record.prefill?.worker_id, overlap_blocks: 25, prompt: { cached_tokens: 384, computed_tokens: 16 } });
    const reused = await answer(prompt, { temperature: 0.9, seed: 3 });
    expectDisaggregated(reused.record, 400);
  });

  it('one that begins like another reads only the rest, where the decode worker has the beginning', async () => {
    const state = await workerState(decode[0]!);
    const start = randomTokens(random, 320);
    for (const length of [20, 50, 90]) {
      const { record } = await answer([...start, ...randomTokens(random, length)]);
      expectDisaggregated(record, 320 + length);
      const cached = record.decode[0]?.prompt?.cached_blocks ?? NaN;
      expect([0, 20]).toContain(cached);
      expect(record.transfer?.bytes).toBe((Math.ceil((319 + length) / blockTokens) - cached) * state.model.kvBytesPerBlock);
    }
    await poolsEmpty([...prefill, ...decode]);
  });

  it('streams, stops and counts as an aggregated one does', async () => {
    const prompt = randomTokens(random, 200);
    const whole = await answer(prompt);
    const streamed = await answer(prompt, { stream: true, stream_options: { include_usage: true } });
    expect(sameWords(streamed.answer)).toEqual(sameWords(whole.answer));
    expect(streamed.answer.usage).toMatchObject({ prompt_tokens: 200, completion_tokens: 6 });
    expect(streamed.record.finish_reason).toBe('length');
  });

  it('a prompt of one token has nothing to be read', async () => {
    const before = await total(decode);
    const { record } = await answer([7]);
    expect(record).toMatchObject({ path: 'local_prefill', status: 'ok', conditional: { remote: false, isl_tokens: 1 } });
    expect(record.transfer).toBeUndefined();
    expect(await total(decode)).toEqual(before);
  });

  it('many at once, of many lengths', async () => {
    const lengths = Array.from({ length: 24 }, () => 2 + Math.floor(random() * 700));
    const made = await Promise.all(lengths.map(async (length) => ({ length, ...(await answer(randomTokens(random, length))) })));
    for (const { length, record } of made) expectDisaggregated(record, length);
    await poolsEmpty([...prefill, ...decode]);
  });
});

describe('aggregated, KV-aware', () => {
  let group: ServingGroup;
  beforeAll(async () => {
    group = await servingGroup();
  });
  afterAll(async () => group?.close());

  it('the KV cache stays where it is: not one byte moves', async () => {
    const workers = await Promise.all([group.startWorker(), group.startWorker()]);
    const frontend = await group.startFrontend(['--router-mode', 'kv']);
    await ready(frontend, { decode: 2, prefill: 0 });
    const start = randomTokens(random, 256);
    for (let i = 0; i < 8; i++) {
      const answered = await complete(frontend, { model, prompt: [...start, ...randomTokens(random, 30)], max_tokens: 4, temperature: 0 });
      const record = await recordOf(frontend, answered.requestId);
      expect(record).toMatchObject({ path: 'aggregated', status: 'ok', decode: [{ prompt: { prompt_tokens: 286 } }] });
      expect(record.transfer).toBeUndefined();
      expect(record.prefill).toBeUndefined();
      expect(record.decode[0]?.prompt?.transferred_tokens ?? 0).toBe(0);
    }
    expect(await total(workers)).toEqual({ read: 0, served: 0 });
    // Of the same start, all but the first found it in the cache of the worker they were sent to.
    expect(sum((await Promise.all(workers.map(workerState))).map(({ engine }) => engine.computedTokens))).toBeLessThan(8 * 286);
  });
});
