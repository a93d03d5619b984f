import { describe, expect, it } from 'vitest';
import { testCard } from '../runtime/discovery/discovery.contract.ts';
import { prefillInstanceOf } from './dispatchFixture.ts';
import { characterCodec, FunctionPlane, instanceOf, outputsOf, recordingLogger } from './frontendFixture.ts';
import { ModelManager } from './modelManager.ts';

function setup(blockSize?: number) {
  const { logger, lines } = recordingLogger();
  const requests = new FunctionPlane(() => outputsOf([]));
  const models = new ModelManager({ router: { mode: 'kv' }, blockSize, eventPlane: undefined, requests, logger, loadCodec: async () => characterCodec });
  return { models, lines };
}

const ids = (models: ModelManager, name = 'model'): bigint[] => [...(models.get(name)?.workers.keys() ?? [])];

describe('ModelManager', () => {
  it('gathers the workers of a name and keeps the name when they go', async () => {
    const { models, lines } = setup();
    models.added(instanceOf(1));
    models.added(instanceOf(2));
    models.added(instanceOf(3, { display_name: 'other' }));
    await models.settled();
    expect([ids(models), ids(models, 'other')]).toEqual([[1n, 2n], [3n]]);
    models.removed(1n);
    models.removed(2n);
    models.removed(77n);
    await models.settled();
    expect(models.get('model')?.workers.size).toBe(0);
    expect(lines.filter((line) => line.includes('added model model_name="model"'))).toHaveLength(1);
  });

  it('refuses workers whose blocks would never match, and says why', async () => {
    const { models, lines } = setup();
    models.added(instanceOf(1));
    models.added(instanceOf(2, { kv_cache_block_size: 32 }));
    models.added(instanceOf(3, { engine: { ...testCard.engine, name: 'another' } }));
    await models.settled();
    expect(ids(models)).toEqual([1n]);
    expect(lines.join('')).toMatch(
      /pod-2 is not used: its KV blocks hold 32 tokens, those of the model's other workers 16[\s\S]*pod-3 is not used: it computes with another/,
    );
    const strict = setup(64);
    strict.models.added(instanceOf(1));
    await strict.models.settled();
    expect(strict.models.get('model')).toBeUndefined();
    expect(strict.lines.join('')).toContain('--kv-cache-block-size is 64');
  });

  it('lets a name without workers become another model', async () => {
    const { models } = setup();
    models.added(instanceOf(1));
    models.removed(1n);
    models.added(instanceOf(2, { kv_cache_block_size: 32 }));
    await models.settled();
    expect(models.get('model')?.router.blockSize).toBe(32);
    expect(ids(models)).toEqual([2n]);
  });

  it('takes a changed record of the same worker as the worker anew', async () => {
    const { models } = setup();
    models.added(instanceOf(1));
    const moved = { ...instanceOf(1), endpoints: { generate: { tcp: 'elsewhere' } } };
    models.added(moved);
    await models.settled();
    expect(models.get('model')?.workers.get(1n)?.endpoints['generate']?.tcp).toBe('elsewhere');
  });

  it('ignores instances that serve no model', async () => {
    const { models } = setup();
    const { modelCard: _, ...bare } = instanceOf(1);
    models.added(bare);
    await models.settled();
    expect(models.models).toEqual([]);
  });
});

describe('ModelManager: prefill workers', () => {
  const prefillIds = (models: ModelManager): bigint[] => [...(models.get('model')?.prefill?.workers.keys() ?? [])];

  it('are a pool of their own, with a router of their own, that comes and goes', async () => {
    const { models, lines } = setup();
    models.added(instanceOf(1));
    models.added(prefillInstanceOf(11));
    models.added(prefillInstanceOf(12));
    await models.settled();
    const model = models.get('model');
    expect([ids(models), prefillIds(models)]).toEqual([[1n], [11n, 12n]]);
    expect(model?.prefill?.router).not.toBe(model?.router);
    expect(model?.router.loads()).toHaveLength(1);
    const { prefill } = model!;
    models.removed(11n);
    models.removed(12n);
    models.added(prefillInstanceOf(13));
    await models.settled();
    expect(prefillIds(models)).toEqual([13n]);
    expect(model?.prefill).toBe(prefill);
    const said = lines.join('');
    expect(said.match(/Prefill router activated/g)).toHaveLength(2);
    expect(said.match(/Prefill router deactivated/g)).toHaveLength(1);
  });

  it('make no model alone, and wait for decode workers', async () => {
    const { models, lines } = setup();
    models.added(prefillInstanceOf(11));
    await models.settled();
    expect([models.models, models.prefillWorkers('model')]).toEqual([[], 1]);
    expect(lines.join('')).toContain('prefill worker pod-11 waits: no decode worker serves its model yet');
    models.added(instanceOf(1));
    await models.settled();
    expect(prefillIds(models)).toEqual([11n]);
    models.removed(1n);
    await models.settled();
    expect([models.get('model')?.workers.size, models.prefillWorkers('model')]).toEqual([0, 1]);
  });

  it('are refused when their blocks are not the decode workers’, with both values; and taken when the model is theirs', async () => {
    const { models, lines } = setup();
    models.added(instanceOf(1));
    models.added(prefillInstanceOf(11, { kv_cache_block_size: 32 }));
    models.added(prefillInstanceOf(12, { engine: { ...testCard.engine, fingerprint: 'other' } }));
    await models.settled();
    expect(models.get('model')?.prefill).toBeUndefined();
    expect(lines.join('')).toMatch(
      /pod-11 is not used: its KV blocks hold 32 tokens, those of the model's other workers 16[\s\S]*pod-12 is not used: its model has the fingerprint other, that of the model's other workers f00/,
    );
    models.removed(1n);
    models.added(instanceOf(2, { kv_cache_block_size: 32 }));
    await models.settled();
    expect(prefillIds(models)).toEqual([11n]);
    models.removed(2n);
    models.added(instanceOf(3, { engine: { ...testCard.engine, fingerprint: 'other' } }));
    await models.settled();
    expect(prefillIds(models)).toEqual([12n]);
  });

  it('keep busy thresholds that were changed before they came', async () => {
    const { models } = setup();
    models.added(instanceOf(1));
    await models.settled();
    models.get('model')!.busy.activePrefillTokens = 5;
    models.added(prefillInstanceOf(11));
    await models.settled();
    expect(models.get('model')?.prefill?.busy).toEqual({ activePrefillTokens: 5 });
  });
});
