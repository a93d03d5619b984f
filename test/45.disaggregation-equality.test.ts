import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ServingPath } from '../backend/src/protocol/requestRecord.ts';
import type { Fault } from '../backend/src/transfer/index.ts';
import { type Answer, complete, sameWords } from './support/completions.ts';
import { below, randomPrompts, seededRandom } from './support/randomPrompts.ts';
import { poolsEmpty, ready, recordOf } from './support/requestRecords.ts';
import { servingGroup, type ServingGroup, type ServingProcess } from './support/servingGroup.ts';

const model = 'Qwen/Qwen2.5-1.5B-Instruct';
const seed = Number(process.env['DYNAMO_LABS_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const random = seededRandom(seed);
const count = 200;
const clients = 8;
const all = Array.from({ length: count }, (_, index) => index);
/** Each kind of failing transfers gets a share of the prompts of its own; the long run gives all of them to each. */
const everything = process.env['DYNAMO_LABS_EQUALITY_ALL'] === '1';
const prompts = randomPrompts(random, count, 4_096);
/** Half greedy, half sampled with a seed of their own. */
const requests = prompts.map((prompt, index) => ({
  model,
  prompt,
  max_tokens: 1 + below(random, 12),
  ignore_eos: true,
  logprobs: 2,
  stream: index % 3 === 0,
  ...(index % 2 === 0 ? { temperature: 0 } : { temperature: 0.2 + random(), top_p: 0.5 + random() / 2, seed: below(random, 2 ** 31) }),
}));
console.log(`${count} prompts of seed ${seed} (DYNAMO_LABS_TEST_SEED repeats them), ${prompts.reduce((sum, { length }) => sum + length, 0)} tokens`);

/** Answers by the index of their request, from so many clients at once. */
async function answers(frontend: ServingProcess, which: readonly number[] = all): Promise<Map<number, Answer>> {
  const made = new Map<number, Answer>();
  const left = [...which].reverse();
  const client = async (): Promise<void> => {
    for (let index = left.pop(); index !== undefined; index = left.pop()) made.set(index, await complete(frontend, requests[index]!));
  };
  await Promise.all(Array.from({ length: clients }, client));
  return made;
}

async function paths(frontend: ServingProcess, made: ReadonlyMap<number, Answer>): Promise<Partial<Record<ServingPath, number>>> {
  const counts: Partial<Record<ServingPath, number>> = {};
  for (const { requestId } of made.values()) {
    const { path } = await recordOf(frontend, requestId);
    counts[path] = (counts[path] ?? 0) + 1;
  }
  return counts;
}

async function readAhead(frontend: ServingProcess, made: ReadonlyMap<number, Answer>): Promise<number> {
  let blocks = 0;
  for (const { requestId } of made.values()) blocks += (await recordOf(frontend, requestId)).transfer?.overlapped?.blocks ?? 0;
  return blocks;
}

describe(`${count} random prompts`, { timeout: everything ? 1_800_000 : 300_000 }, () => {
  let group: ServingGroup;
  let expected: Map<number, Answer>;

  /** A graph of its own in the group's folder: workers of another Dynamo namespace are not seen. */
  const disaggregated = async (
    name: string,
    options: {
      prefillEnv?: Record<string, string>;
      prefillArgs?: string[];
      decodeEnv?: Record<string, string>;
      decodeArgs?: string[];
      frontendArgs?: string[];
    } = {},
  ): Promise<{ frontend: ServingProcess; workers: ServingProcess[] }> => {
    const namespace = { DYN_NAMESPACE: name };
    const workers = await Promise.all([
      group.startPrefillWorker(options.prefillArgs, { ...namespace, ...options.prefillEnv }),
      group.startPrefillWorker(options.prefillArgs, { ...namespace, ...options.prefillEnv }),
      group.startDecodeWorker(options.decodeArgs, { ...namespace, ...options.decodeEnv }),
      group.startDecodeWorker(options.decodeArgs, { ...namespace, ...options.decodeEnv }),
    ]);
    const frontend = await group.startFrontend(['--router-mode', 'kv', ...(options.frontendArgs ?? [])], namespace);
    await ready(frontend, { decode: 2, prefill: 2 });
    return { frontend, workers };
  };
  const end = async ({ frontend, workers }: { frontend: ServingProcess; workers: ServingProcess[] }): Promise<void> => {
    for (const one of [frontend, ...workers]) one.kill('SIGTERM');
    await Promise.all([frontend, ...workers].map(({ exited }) => exited));
  };
  /** The prompts whose answer is neither the expected one nor an error. */
  const different = (made: ReadonlyMap<number, Answer>): number[] =>
    [...made].flatMap(([index, answer]) =>
      answer.error !== undefined || JSON.stringify(sameWords(answer)) === JSON.stringify(sameWords(expected.get(index)!)) ? [] : [index],
    );
  const failures = (made: ReadonlyMap<number, Answer>): Answer[] => [...made.values()].filter(({ error }) => error !== undefined);

  beforeAll(async () => {
    group = await servingGroup();
    const namespace = { DYN_NAMESPACE: 'aggregated' };
    const workers = [await group.startWorker([], namespace)];
    const frontend = await group.startFrontend([], namespace);
    await ready(frontend, { decode: 1, prefill: 0 });
    expected = await answers(frontend);
    expect(failures(expected)).toEqual([]);
    expect(all.map((index) => expected.get(index)?.tokens.length)).toEqual(requests.map(({ max_tokens }) => max_tokens));
    await end({ frontend, workers });
  }, 480_000);
  afterAll(async () => group?.close());

  const tcp = { DYNAMO_LABS_TRANSFER_DIR: '' };
  const overlap = ['--kv-transfer-config', '{"kv_connector":"NixlConnector","kv_role":"kv_both","kv_connector_extra_config":{"overlap":"always"}}'];

  it.each([
    { way: 'shared memory', env: {}, prefillArgs: [], ahead: false },
    { way: 'shared memory, read while prompts are computed', env: {}, prefillArgs: overlap, ahead: true },
    { way: 'TCP, read while prompts are computed', env: tcp, prefillArgs: overlap, ahead: true },
  ])(
    'get the same answers, token by token and to the last bit of their log probabilities, aggregated and disaggregated over $way',
    async ({ way, env, prefillArgs, ahead }) => {
      const graph = await disaggregated(`plain-${way.replaceAll(/\W/g, '')}`, { prefillEnv: env, decodeEnv: env, prefillArgs });
      const made = await answers(graph.frontend);
      expect(failures(made)).toEqual([]);
      expect(different(made), `seed ${seed}`).toEqual([]);
      const single = prompts.filter(({ length }) => length === 1).length;
      expect(await paths(graph.frontend, made)).toEqual({ disaggregated: count - single, ...(single === 0 ? {} : { local_prefill: single }) });
      const overlapped = await readAhead(graph.frontend, made);
      console.log(`${way}: ${overlapped} blocks read while prompts were computed`);
      expect(overlapped > 0).toBe(ahead);
      await poolsEmpty(graph.workers);
      await end(graph);
    },
  );

  const kinds: Fault['kind'][] = [
    'reset',
    'half_close',
    'truncate',
    'stall',
    'delay',
    'flip',
    'duplicate',
    'reorder',
    'drop_notification',
    'refuse',
    'expire',
    'wrong_epoch',
  ];
  const plan = (side: Fault['side']): string =>
    JSON.stringify({
      seed: below(random, 2 ** 31),
      plan: kinds.map((kind): Fault => ({ kind, side, withinBytes: 4_000_000, times: 6, ms: 1 + below(random, 50) })),
    });

  const fallback = ['--decode-fallback'];
  const ways = [
    { way: 'shared memory', env: {}, prefillArgs: [], decodeArgs: [], frontendArgs: fallback },
    { way: 'shared memory, read ahead', env: {}, prefillArgs: overlap, decodeArgs: [], frontendArgs: fallback },
    { way: 'TCP, read ahead', env: tcp, prefillArgs: overlap, decodeArgs: [], frontendArgs: fallback },
    { way: 'TCP, read ahead, errors returned', env: tcp, prefillArgs: overlap, decodeArgs: [], frontendArgs: ['--enforce-disagg'] },
    {
      way: 'TCP, recomputed by the decode worker',
      env: tcp,
      prefillArgs: [],
      decodeArgs: ['--kv-transfer-config', '{"kv_connector":"NixlConnector","kv_role":"kv_both","kv_load_failure_policy":"recompute"}'],
      frontendArgs: fallback,
    },
  ];
  it.each(ways)(
    'with transfers that fail over $way: the same answer or an error, never other words',
    async ({ env, prefillArgs, decodeArgs, frontendArgs, way }) => {
      const graph = await disaggregated(`faults-${way.replaceAll(/\W/g, '')}`, {
        prefillEnv: { ...env, DYNAMO_LABS_TRANSFER_FAULTS: plan('serve') },
        decodeEnv: { ...env, DYNAMO_LABS_TRANSFER_FAULTS: plan('read') },
        prefillArgs,
        decodeArgs,
        frontendArgs,
      });
      const share = ways.findIndex((one) => one.way === way);
      const made = await answers(graph.frontend, everything ? all : all.filter((index) => index % ways.length === share));
      expect(different(made), `seed ${seed}`).toEqual([]);
      const states = await poolsEmpty(graph.workers);
      const faults = states.flatMap(({ disaggregation }) => disaggregation.faults.taken_effect);
      expect(faults.length, 'no fault took effect').toBeGreaterThan(0);
      const served = await paths(graph.frontend, made);
      const failed = failures(made);
      console.log(`${way}: ${JSON.stringify(served)}, ${faults.length} faults, ${failed.length} errors`);
      expect(served.error ?? 0).toBe(failed.length);
      for (const { error, status } of failed) {
        expect(error).toMatchObject({ code: expect.any(String), message: expect.stringMatching(/[A-Z_]{6,}/) });
        expect(status).toBeGreaterThanOrEqual(500);
      }
      // Where falling back is allowed nobody gets an error for a failed transfer.
      if (frontendArgs === fallback) expect(failed).toEqual([]);
      await end(graph);
    },
  );
});
