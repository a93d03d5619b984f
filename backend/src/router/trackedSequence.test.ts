import { describe, expect, it } from 'vitest';
import { KvRouter } from './kvRouter.ts';
import type { RouteRequest } from './kvRouterOptions.ts';

const tokens = Array.from({ length: 20_000 }, (_, i) => i);
const load = (extra: Partial<RouteRequest>): { activePrefillTokens: number; activeDecodeBlocks: number } => {
  const router = new KvRouter({ mode: 'kv', blockSize: 2 });
  router.setWorkers([{ workerId: 1n }]);
  for (const requestId of ['a', 'b']) router.route({ requestId, model: 'm', tokens, ...extra });
  return router.loads()[0]!;
};

describe('how a request counts as load', () => {
  it('once for blocks it shares, unless they are not to be taken for shared', () => {
    expect(load({})).toMatchObject({ activeDecodeBlocks: 10_000, activePrefillTokens: 40_000 });
    expect(load({ assumeKvReuse: false })).toMatchObject({ activeDecodeBlocks: 20_000 });
  });

  it('not at all in what its pool does not do', () => {
    expect(load({ trackActiveBlocks: false })).toMatchObject({ activeDecodeBlocks: 0, activePrefillTokens: 40_000 });
    expect(load({ trackPrefillTokens: false })).toMatchObject({ activeDecodeBlocks: 10_000, activePrefillTokens: 0 });
  });

  it('and its blocks go when it ends', () => {
    const router = new KvRouter({ mode: 'kv', blockSize: 2 });
    router.setWorkers([{ workerId: 1n }]);
    router.route({ requestId: 'a', model: 'm', tokens, assumeKvReuse: false });
    router.free('a');
    expect(router.loads()[0]).toMatchObject({ activeDecodeBlocks: 0, activeRequests: 0 });
  });
});
