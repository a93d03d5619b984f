import { afterAll, beforeAll, expect, it } from 'vitest';
import { createLlmEngine } from '../engine/index.ts';
import { someTokens, temporaryTinyModel } from '../engine/testing/tinyModels.ts';
import { initBlockHash } from '../protocol/blockHash.ts';
import type { KvCacheEvent, PreprocessedRequest } from '../protocol/index.ts';
import { KvRouter } from '../router/index.ts';
import { decodeKvEvent, encodeKvEvent } from '../runtime/index.ts';

const files = temporaryTinyModel();
afterAll(() => files[Symbol.dispose]());
beforeAll(() => initBlockHash());

const request = (tokens: number[]): PreprocessedRequest => ({
  request_id: 'r',
  model: 'tiny',
  token_ids: tokens,
  stop_conditions: { max_tokens: 1, ignore_eos: true },
  sampling_options: { temperature: 0 },
  output_options: {},
});

it('a router that follows the events, or asks for the whole cache, gives credit for what lies on the host', async () => {
  await using engine = await createLlmEngine({
    modelDir: files.dir,
    blocks: 16,
    blockTokens: 16,
    maxNumSeqs: 4,
    maxNumBatchedTokens: 64,
    enablePrefixCaching: true,
    threads: 1,
    hostBlocks: 64,
  });
  const routerOf = (): KvRouter => {
    const router = new KvRouter({ mode: 'kv', blockSize: 16 });
    router.setWorkers([{ workerId: 1n }, { workerId: 2n }]);
    return router;
  };
  const follower = routerOf();
  // As on the wire.
  const overTheWire = (event: KvCacheEvent): KvCacheEvent => decodeKvEvent(JSON.parse(JSON.stringify(encodeKvEvent(event))));
  engine.onKvEvent((event) => {
    const result = follower.applyEvent({ workerId: 1n, storageTier: event.storageTier ?? 'device', event: overTheWire(event) });
    expect(result.status).toBe('ok');
  });
  const prompt = someTokens(150);
  for (const tokens of [prompt, ...[20, 21, 22].map((seed) => someTokens(200, seed))]) {
    for await (const output of engine.generate(request(tokens), new AbortController().signal)) expect(output.error).toBeUndefined();
  }
  const late = routerOf();
  expect(late.beginRecovery(1n, 0)).toBe(true);
  late.completeRecovery(1n, 0, { kind: 'dump', events: engine.dumpKvEvents().map(overTheWire), lastEventId: engine.stats().lastKvEventId });
  for (const router of [follower, late]) {
    const decision = router.route({ requestId: 'r', model: 'tiny', tokens: prompt });
    const [one, two] = ['1', '2'].map((id) => decision.candidates.find(({ worker_id }) => worker_id === id)!);
    expect(one).toMatchObject({ host_overlap_blocks: 9 });
    expect(two).not.toHaveProperty('host_overlap_blocks');
    expect(decision.chosen.worker_id).toBe('1');
  }
});
