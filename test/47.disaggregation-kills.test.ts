import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RequestRecord } from '../backend/src/protocol/requestRecord.ts';
import { type Answer, complete, type CompletionRequestBody, sameWords } from './support/completions.ts';
import { below, randomPrompts, seededRandom } from './support/randomPrompts.ts';
import { poolsEmpty, ready, recordOf, workerState } from './support/requestRecords.ts';
import { eventually, getJson, servingGroup, type ServingGroup, type ServingProcess } from './support/servingGroup.ts';

const model = 'Qwen/Qwen2.5-1.5B-Instruct';
const seed = Number(process.env['DYNAMO_LABS_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const random = seededRandom(seed);
/** Half of them in each test; the long run sets 100. */
const kills = Number(process.env['DYNAMO_LABS_WORKER_KILLS'] ?? 12);
const clients = 8;
/** No request may take longer, whatever is killed. */
const deadlineMs = 30_000;
const leaseSeconds = 5;

/** A prompt takes several chunks, and the decode worker reads after each. */
const overlap = [
  ...['--max-num-batched-tokens', '256'],
  ...['--kv-transfer-config', '{"kv_connector":"NixlConnector","kv_role":"kv_both","kv_connector_extra_config":{"overlap":"always"}}'],
];

type Role = 'prefill' | 'decode';
/** When to kill whom: the phase is looked for in the workers' own states. */
const moments = ['while it computes a prompt', 'while its blocks are read', 'while it reads blocks', 'while it streams', 'at any time'] as const;

const requests: CompletionRequestBody[] = randomPrompts(random, 24, 1_200).map((prompt, index) => ({
  model,
  prompt,
  max_tokens: 8 + below(random, 120),
  ignore_eos: true,
  logprobs: 1,
  stream: true,
  ...(index % 2 === 0 ? { temperature: 0 } : { temperature: 0.8, seed: below(random, 2 ** 31) }),
}));
console.log(`kills of seed ${seed} (DYNAMO_LABS_TEST_SEED repeats it)`);

class Graph {
  readonly workers = new Map<ServingProcess, Role>();
  frontend!: ServingProcess;
  readonly #group: ServingGroup;
  readonly #env: Record<string, string>;
  readonly #prefillArgs: string[];
  constructor(group: ServingGroup, namespace: string, prefillArgs: string[]) {
    this.#group = group;
    this.#prefillArgs = prefillArgs;
    this.#env = {
      DYN_NAMESPACE: namespace,
      DYNAMO_LABS_KV_LEASE_SECONDS: String(leaseSeconds),
      // Reading takes long enough to be hit.
      DYNAMO_LABS_TRANSFER_FAULTS: JSON.stringify({ seed, plan: [{ kind: 'delay', side: 'read', times: 1_000_000, ms: 5 }] }),
    };
  }
  async start(role: Role): Promise<void> {
    const worker = await (role === 'prefill' ? this.#group.startPrefillWorker(this.#prefillArgs, this.#env) : this.#group.startDecodeWorker([], this.#env));
    this.workers.set(worker, role);
  }
  async open(frontendArgs: string[]): Promise<void> {
    await Promise.all((['prefill', 'prefill', 'decode', 'decode'] as const).map((role) => this.start(role)));
    this.frontend = await this.#group.startFrontend(['--router-mode', 'kv', '--decode-fallback', ...frontendArgs], this.#env);
    await ready(this.frontend, { decode: 2, prefill: 2 });
  }
  of(role: Role): ServingProcess[] {
    return [...this.workers].flatMap(([worker, its]) => (its === role ? [worker] : []));
  }
  /** Kills one worker at such a moment, or after a while at any, and starts another in its place: one that the frontend has seen before the next is killed. */
  async kill(moment: (typeof moments)[number]): Promise<string> {
    const victim = await this.#victim(moment);
    const role = this.workers.get(victim)!;
    const added = (): number => this.frontend.log().match(role === 'prefill' ? /: prefill worker added/g : /: worker added/g)?.length ?? 0;
    const before = added();
    victim.kill('SIGKILL');
    this.workers.delete(victim);
    await victim.exited;
    await this.start(role);
    await eventually(
      async () => added(),
      (count) => count > before,
    );
    return role;
  }
  async #victim(moment: (typeof moments)[number]): Promise<ServingProcess> {
    const all = [...this.workers.keys()];
    const anybody = all[below(random, all.length)]!;
    await sleep(below(random, 200));
    if (moment === 'at any time') return anybody;
    for (let look = 0; look < 200; look++) {
      const role = moment === 'while it reads blocks' || moment === 'while it streams' ? 'decode' : 'prefill';
      for (const worker of this.of(role)) {
        const { engine, disaggregation } = await workerState(worker);
        if (moment === 'while it computes a prompt' && engine.running > 0) return worker;
        if (moment === 'while its blocks are read' && disaggregation.grants.open > 0) return worker;
        if (moment === 'while it reads blocks' && engine.waitingForRemoteKvs > 0) return worker;
        if (moment === 'while it streams' && engine.running > 0) return worker;
      }
    }
    return anybody;
  }
}

interface Load {
  answers: { answer: Answer; request: number }[];
  stop: () => Promise<void>;
}

/** Clients that ask one thing after another until they are stopped. */
function load(frontend: ServingProcess): Load {
  const answers: Load['answers'] = [];
  let stopped = false;
  const client = async (): Promise<void> => {
    while (!stopped) {
      const request = below(random, requests.length);
      answers.push({ request, answer: await complete(frontend, requests[request]!, { signal: AbortSignal.timeout(deadlineMs) }) });
    }
  };
  const running = Promise.all(Array.from({ length: clients }, client));
  return {
    answers,
    stop: async () => {
      stopped = true;
      await running;
    },
  };
}

describe('workers are killed under load', () => {
  let group: ServingGroup;
  let expected: Answer[];
  beforeAll(async () => {
    group = await servingGroup();
    const namespace = { DYN_NAMESPACE: 'aggregated' };
    const worker = await group.startWorker([], namespace);
    const frontend = await group.startFrontend([], namespace);
    await ready(frontend, { decode: 1, prefill: 0 });
    expected = await Promise.all(requests.map((request) => complete(frontend, request)));
    expect(expected.map(({ tokens }) => tokens.length)).toEqual(requests.map(({ max_tokens }) => max_tokens));
    for (const one of [worker, frontend]) one.kill('SIGTERM');
    await Promise.all([worker.exited, frontend.exited]);
  });
  afterAll(async () => group?.close());

  const brief = ({ requestId, status, tokens, error }: Answer): string => `${requestId}: ${status}, ${tokens.length} tokens, ${error?.code}: ${error?.message}`;
  /** So far as it came, an answer has the words of the expected one. */
  const isBeginning = (answer: Answer, of: Answer): boolean =>
    of.text.startsWith(answer.text) &&
    answer.tokens.every((token, index) => token === of.tokens[index]) &&
    answer.logprobs.every((logprob, index) => logprob === of.logprobs[index]);

  it.each([
    { way: 'without migration', frontendArgs: ['--migration-limit', '0'], prefillArgs: [], migrates: false },
    { way: 'with migration', frontendArgs: ['--migration-limit', '8'], prefillArgs: [], migrates: true },
    { way: 'with migration, blocks read while prompts are computed', frontendArgs: ['--migration-limit', '8'], prefillArgs: overlap, migrates: true },
  ])(
    '$way: no wrong token, nobody waits for ever, no block is lost, and service goes on',
    { timeout: 120_000 + kills * 10_000 },
    async ({ way, frontendArgs, prefillArgs, migrates }) => {
      const graph = new Graph(group, way.replaceAll(/\W+/g, '-'), prefillArgs);
      await graph.open(frontendArgs);
      const { answers, stop } = load(graph.frontend);
      const killed: string[] = [];
      for (let i = 0; i < Math.ceil(kills / 2); i++) killed.push(await graph.kill(moments[i % moments.length]!));
      await sleep(300);
      await stop();

      const failed = answers.filter(({ answer }) => answer.error !== undefined);
      const codes = failed.map(({ answer }) => answer.error?.code);
      console.log(`${way}: ${killed.length} kills, ${answers.length} answers, ${failed.length} of them errors (${[...new Set(codes)].join(', ')})`);
      for (const { answer, request } of answers) {
        const whole = expected[request]!;
        if (answer.error === undefined) expect(sameWords(answer), `${answer.requestId}, seed ${seed}`).toEqual(sameWords(whole));
        else expect(isBeginning(answer, whole), `${answer.requestId}, seed ${seed}: ${brief(answer)}`).toBe(true);
      }
      // The frontend lived: every error is one it worded itself, and none is a deadline of the client.
      expect(failed.filter(({ answer }) => answer.error?.code === 'CONNECTION').map(({ answer }) => brief(answer))).toEqual([]);
      if (migrates) {
        expect(failed.map(({ answer }) => brief(answer))).toEqual([]);
        const records = await getJson<RequestRecord[]>(`${graph.frontend.url}/requests?limit=1000`);
        const migrations = records.flatMap((record) => record.migrations);
        expect(migrations.length).toBeGreaterThan(0);
        console.log(`${migrations.length} migrations`);
      }

      // What the dead had in their hands ends with its lease; then nothing is held any more.
      await poolsEmpty([...graph.workers.keys()]);
      await ready(graph.frontend, { decode: 2, prefill: 2 });
      const after = await Promise.all(requests.map((request) => complete(graph.frontend, request, { signal: AbortSignal.timeout(deadlineMs) })));
      expect(after.filter(({ error }) => error !== undefined).map(brief)).toEqual([]);
      expect(after.map(sameWords)).toEqual(expected.map(sameWords));
      for (const [index, { requestId }] of after.entries()) {
        const short = (requests[index]!.prompt as number[]).length === 1;
        expect(await recordOf(graph.frontend, requestId)).toMatchObject({ path: short ? 'local_prefill' : 'disaggregated', status: 'ok' });
      }
      const ahead = (await getJson<RequestRecord[]>(`${graph.frontend.url}/requests?limit=1000`)).filter(({ transfer }) => transfer?.overlapped);
      expect(ahead.length > 0).toBe(prefillArgs === overlap);
      for (const one of [graph.frontend, ...graph.workers.keys()]) one.kill('SIGTERM');
      await Promise.all([graph.frontend, ...graph.workers.keys()].map(({ exited }) => exited));
    },
  );
});
