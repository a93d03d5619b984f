import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RequestRecord } from '../backend/src/protocol/index.ts';
import { type Answer, complete, sameWords } from './support/completions.ts';
import { randomTokens, seededRandom } from './support/randomPrompts.ts';
import { poolsEmpty, ready, recordOf, workerState, type WorkerState } from './support/requestRecords.ts';
import { eventually, servingGroup, type ServingGroup, type ServingProcess } from './support/servingGroup.ts';

const model = 'Qwen/Qwen2.5-1.5B-Instruct';
const random = seededRandom(4_401);
const words = { model, max_tokens: 8, temperature: 0, ignore_eos: true, logprobs: 1 };
const leaseSeconds = 60;

const config = (extra: object): string[] => ['--kv-transfer-config', JSON.stringify({ kv_connector: 'NixlConnector', kv_role: 'kv_both', ...extra })];
const ahead = config({ kv_connector_extra_config: { overlap: 'always' } });
/** A fault of every chunk: over shared memory the reader has it, over sockets who serves. */
const faults = (transport: string, kind: string, ms = 0): { prefillEnv?: Record<string, string>; decodeEnv?: Record<string, string> } => {
  const side = transport === 'shm' ? 'read' : 'serve';
  const env = { DYNAMO_LABS_TRANSFER_FAULTS: JSON.stringify({ seed: 1, plan: [{ kind, side, times: 1_000_000, ms }] }) };
  return side === 'read' ? { decodeEnv: env } : { prefillEnv: env };
};
/** Each chunk of a read takes so long, and a prompt is computed in many steps. */
const slow = (transport: string): ReturnType<typeof faults> => faults(transport, 'delay', 100);

let group: ServingGroup;
beforeAll(async () => {
  group = await servingGroup({ DYNAMO_LABS_KV_LEASE_SECONDS: String(leaseSeconds) });
});
afterAll(async () => group?.close());

interface Graph {
  prefill: ServingProcess;
  decode: ServingProcess[];
  frontend: ServingProcess;
}
let graphs = 0;
interface GraphOptions {
  env?: Record<string, string>;
  prefillEnv?: Record<string, string>;
  decodeEnv?: Record<string, string>;
  decodes?: number;
  frontendArgs?: string[];
}
async function graph(options: GraphOptions): Promise<Graph> {
  const env = { DYN_NAMESPACE: `overlap-${graphs++}`, ...options.env };
  const decodes = options.decodes ?? 1;
  const [prefill, ...decode] = await Promise.all([
    group.startPrefillWorker(ahead, { ...env, ...options.prefillEnv }),
    ...Array.from({ length: decodes }, () => group.startDecodeWorker([], { ...env, ...options.decodeEnv })),
  ]);
  const frontend = await group.startFrontend(['--router-mode', 'kv', ...(options.frontendArgs ?? ['--decode-fallback'])], env);
  await ready(frontend, { decode: decodes, prefill: 1 });
  return { prefill, decode, frontend };
}
async function end({ prefill, decode, frontend }: Graph): Promise<void> {
  const all = [frontend, prefill, ...decode];
  for (const one of all) one.kill('SIGTERM');
  await Promise.all(all.map(({ exited }) => exited));
}
async function ask({ frontend }: Graph, prompt: number[]): Promise<{ answer: Answer; record: RequestRecord }> {
  const answer = await complete(frontend, { ...words, prompt });
  return { answer, record: await recordOf(frontend, answer.requestId) };
}

describe.each([
  { transport: 'shm', env: {}, failing: 'expire', code: 'EXPIRED' },
  { transport: 'tcp', env: { DYNAMO_LABS_TRANSFER_DIR: '' }, failing: 'flip', code: 'CHECKSUM' },
])('blocks travel over $transport while the rest of the prompt is computed', ({ transport, env, failing, code }) => {
  const prompt = randomTokens(random, 6_000);
  let expected: unknown;
  beforeAll(async () => {
    const sound = await graph({ env });
    const { answer, record } = await ask(sound, prompt);
    expect(record).toMatchObject({ path: 'disaggregated', transfer: { transport, status: 'ok', tokens: 5_999, blocks: 375 } });
    const { overlapped, block_bytes } = record.transfer!;
    expect(overlapped!.blocks).toBeGreaterThanOrEqual(16);
    expect(overlapped).toMatchObject({ bytes: overlapped!.blocks * block_bytes, tokens: overlapped!.blocks * 16 });
    expected = sameWords(answer);
    await poolsEmpty([sound.prefill, ...sound.decode]);
    await end(sound);
  });

  /** Until the prompt is being computed and its beginning read; the worker that reads. */
  async function halfway({ prefill, decode }: Graph): Promise<ServingProcess> {
    const seen = await eventually<WorkerState[]>(
      () => Promise.all([prefill, ...decode].map(workerState)),
      ([from, ...to]) => from!.engine.running > 0 && to.some(({ engine }) => engine.waitingForRemoteKvs > 0),
    );
    return decode[seen.slice(1).findIndex(({ engine }) => engine.waitingForRemoteKvs > 0)]!;
  }

  it('the client leaves between chunks: the blocks of both workers are free again', async () => {
    const graphed = await graph({ env, ...slow(transport) });
    const controller = new AbortController();
    const requestId = `leaves-${transport}`;
    const answer = complete(graphed.frontend, { ...words, prompt, stream: true }, { requestId, signal: controller.signal });
    await halfway(graphed);
    controller.abort();
    await answer;
    expect(await recordOf(graphed.frontend, requestId)).toMatchObject({ status: 'cancelled' });
    await poolsEmpty([graphed.prefill, ...graphed.decode]);
    expect((await ask(graphed, randomTokens(random, 40))).record).toMatchObject({ path: 'disaggregated', status: 'ok' });
    await end(graphed);
  });

  it('the prefill worker is killed between chunks: the decode worker computes the prompt, and the answer is the same', async () => {
    const graphed = await graph({ env, ...slow(transport) });
    const asked = ask(graphed, prompt);
    await halfway(graphed);
    graphed.prefill.kill('SIGKILL');
    const { answer, record } = await asked;
    expect(sameWords(answer)).toEqual(expected);
    expect(record).toMatchObject({ path: 'fallback', status: 'ok', cause: { plane: 'request' }, migrations: [] });
    await poolsEmpty(graphed.decode);
    await end(graphed);
  });

  it('the decode worker is killed between chunks: another one answers, and the prefill worker keeps nothing', async () => {
    const graphed = await graph({ env, ...slow(transport), decodes: 2 });
    const asked = ask(graphed, prompt);
    const victim = await halfway(graphed);
    victim.kill('SIGKILL');
    const { answer, record } = await asked;
    expect(sameWords(answer)).toEqual(expected);
    expect(record).toMatchObject({ path: 'disaggregated', status: 'ok' });
    await poolsEmpty([graphed.prefill, ...graphed.decode.filter((one) => one !== victim)]);
    await end(graphed);
  });

  it('reads that fail, early and late: as without reading ahead', async () => {
    const graphed = await graph({ env, ...faults(transport, failing) });
    const { answer, record } = await ask(graphed, prompt);
    expect(sameWords(answer)).toEqual(expected);
    expect(record).toMatchObject({ path: 'fallback', status: 'ok', cause: { plane: 'kv_transfer', code: 'KV_TRANSFER_FAILED' } });
    expect(record.decode.at(-1)?.prompt).toMatchObject({ prompt_tokens: 6_000, computed_tokens: 6_000 });
    await poolsEmpty([graphed.prefill, ...graphed.decode]);
    await end(graphed);
    const enforced = await graph({ env, ...faults(transport, failing), frontendArgs: ['--enforce-disagg'] });
    const told = await ask(enforced, prompt);
    expect(told.answer).toMatchObject({ text: '', tokens: [], error: { message: expect.stringContaining(code) } });
    expect(told.record).toMatchObject({ path: 'error', cause: { plane: 'kv_transfer', code: 'KV_TRANSFER_FAILED' } });
    await poolsEmpty([enforced.prefill, ...enforced.decode]);
    await end(enforced);
  });
});

describe(`leases of ${leaseSeconds} seconds do not hold blocks that nobody will read`, () => {
  it('the decode worker is killed while it reads: the frontend says so to the prefill worker, and another one answers', async () => {
    const graphed = await graph({ ...slow('shm'), decodes: 2 });
    const asked = ask(graphed, randomTokens(random, 250)); // one chunk: nothing is read ahead
    const seen = await eventually(
      () => Promise.all(graphed.decode.map(workerState)),
      (states) => states.some(({ engine }) => engine.waitingForRemoteKvs > 0),
    );
    const victim = graphed.decode[seen.findIndex(({ engine }) => engine.waitingForRemoteKvs > 0)]!;
    victim.kill('SIGKILL');
    const { record } = await asked;
    expect(record).toMatchObject({ path: 'disaggregated', status: 'ok', migrations: [{ migration_type: 'new_request' }] });
    await poolsEmpty([graphed.prefill, ...graphed.decode.filter((one) => one !== victim)]); // within 30 s
    await end(graphed);
  });

  it('a decode worker without a connector computes the prompt: so says the record, and the prefill worker keeps nothing', async () => {
    const env = { DYN_NAMESPACE: 'no-connector' };
    const [prefill, plain] = await Promise.all([group.startPrefillWorker(ahead, env), group.startWorker(['--connector', 'none'], env)]);
    const frontend = await group.startFrontend([], env);
    await ready(frontend, { decode: 1, prefill: 1 });
    const graphed = { prefill, decode: [plain], frontend };
    for (const length of [100, 1_000]) {
      const { record } = await ask(graphed, randomTokens(random, length));
      expect(record).toMatchObject({ path: 'fallback', status: 'ok', cause: { plane: 'kv_transfer', code: 'NO_CONNECTOR' } });
      expect(record.decode[0]?.prompt).toMatchObject({ computed_tokens: length });
    }
    await poolsEmpty([prefill]);
    await end(graphed);
  });
});
