import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RoutingDecision } from '../backend/src/protocol/decision.ts';
import { complete, sameWords } from './support/completions.ts';
import { randomTokens, seededRandom } from './support/randomPrompts.ts';
import { metric, ready, recordOf } from './support/requestRecords.ts';
import { eventually, getJson, servingGroup, type ServingGroup, type ServingProcess } from './support/servingGroup.ts';

const model = 'Qwen/Qwen2.5-1.5B-Instruct';
interface RouterState {
  workers: { worker_id: string; last_event_id: number | null }[];
}
interface WorkerEvents {
  instance_id: string;
  kv_events: { last_event_id: number };
}
const random = seededRandom(49);

describe('host memory behind the pools of two workers', () => {
  let group: ServingGroup;
  let frontend: ServingProcess;
  let workers: ServingProcess[];
  const ask = async (prompt: number[]) => {
    const answer = await complete(frontend, { model, prompt, max_tokens: 4, temperature: 0, logprobs: 2, ignore_eos: true });
    expect(answer.error).toBeUndefined();
    const { decode } = await recordOf(frontend, answer.requestId);
    const decision = await getJson<RoutingDecision>(`${frontend.url}/router/decisions/${answer.requestId}`);
    return { words: sameWords(answer), decision, account: decode[0]!.prompt!, worker: decode[0]!.worker_id };
  };

  beforeAll(async () => {
    group = await servingGroup();
    const pool = ['--num-gpu-blocks-override', '24', '--connector', 'kvbm', 'nixl'];
    workers = await Promise.all([0, 1].map(() => group.startWorker(pool, { DYNAMO_LABS_HOST_CACHE_BLOCKS: '200' })));
    frontend = await group.startFrontend(['--router-mode', 'kv']);
    await ready(frontend, { decode: 2, prefill: 0 });
  });
  afterAll(async () => group?.close());

  it('what a pool gave up comes back from its host; the router sends the prompt there for it; the answer is the same to the bit', async () => {
    const prompt = randomTokens(random, 200);
    const cold = await ask(prompt);
    expect(cold.account).toMatchObject({ cached_tokens: 0, computed_tokens: 200 });
    for (const worker of workers) expect(worker.log()).toMatch(/Host KV cache \(G2\): 200 blocks/);
    // 24 blocks hold one such prompt: after these neither pool has anything of the first.
    for (let i = 0; i < 8; i++) await ask(randomTokens(random, 330));
    const offloaded = await Promise.all(workers.map((worker) => metric(worker, 'kvbm_offload_blocks_d2h')));
    for (const blocks of offloaded) expect(blocks).toBeGreaterThan(0);
    await eventually(
      async () => {
        const known = (await getJson<RouterState>(`${frontend.url}/router/state`)).workers;
        const states = await Promise.all(workers.map((worker) => getJson<WorkerEvents>(`${worker.url}/engine/state`)));
        return states.map(({ instance_id: id, kv_events: { last_event_id: last } }) => [last, known.find(({ worker_id }) => worker_id === id)?.last_event_id]);
      },
      (ids) => ids.every(([made, known]) => made === known),
    );
    const warm = await ask(prompt);
    const candidate = warm.decision.candidates.find(({ worker_id }) => worker_id === cold.worker);
    expect(candidate).toMatchObject({ overlap_blocks: 0, host_overlap_blocks: 12 });
    expect(warm.decision.chosen.worker_id).toBe(cold.worker);
    expect(warm.account).toMatchObject({ cached_tokens: 192, host_cached_tokens: 192, computed_tokens: 8 });
    expect(warm.words).toEqual(cold.words);
    const sum = async (name: string) => (await Promise.all(workers.map((worker) => metric(worker, name)))).reduce((all, one) => all + one, 0);
    expect([await sum('kvbm_onboard_blocks_h2d'), await sum('kvbm_matched_tokens')]).toEqual([12, 192]);
  });

  it('clearing the cache clears the host too', async () => {
    for (const worker of workers) {
      const cleared = await fetch(`${worker.url}/engine/clear_prefix_cache`, { method: 'POST' });
      expect(cleared.status).toBe(200);
      expect(await metric(worker, 'dynamo_labs_host_cached_blocks')).toBe(0);
    }
  });
});
