import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createLlmEngine } from '../engine/index.ts';
import { loadTextCodec } from '../preprocess/index.ts';
import { ensureModelAssets } from './modelAssets.ts';
import { stateLayout } from './stateLayout.ts';

describe('without the package', () => {
  let cacheDir: string;
  beforeEach(() => {
    cacheDir = mkdtempSync(path.join(tmpdir(), 'dynamo-labs-assets-'));
  });
  afterEach(() => rmSync(cacheDir, { recursive: true, force: true }));
  const signal = new AbortController().signal;

  test('the generated model serves, the reason is told, and nothing half-made stays', async () => {
    const lines: string[] = [];
    const assets = await ensureModelAssets({ cacheDir, log: (line) => lines.push(line), signal, installers: [['/nowhere/uv', 'pip'], ['false']] });
    expect(assets).toMatchObject({ defaultModel: 'tiny', problem: expect.stringContaining('/nowhere/uv') as string });
    expect(lines.at(-1)).toContain('generated model "tiny" serves instead');
    expect(existsSync(path.join(cacheDir, 'models', 'smollm2-135m-instruct'))).toBe(false);
    expect((await loadTextCodec(assets.models['tiny']!)).vocabSize).toBe(512);
  });

  test('a second run leaves the model alone; a damaged card makes it anew', async () => {
    const run = (): ReturnType<typeof ensureModelAssets> => ensureModelAssets({ cacheDir, log: () => {}, signal, installers: [] });
    const { models } = await run();
    const weights = path.join(models['tiny']!, 'model.safetensors');
    const [before, bytes] = [statSync(weights).mtimeMs, readFileSync(weights)];
    await run();
    expect(statSync(weights).mtimeMs).toBe(before);
    rmSync(path.join(models['tiny']!, 'card.json'));
    await run();
    expect(statSync(weights).mtimeMs).toBeGreaterThan(before);
    expect(readFileSync(weights).equals(bytes)).toBe(true); // generated: the same bytes
  });

  test('an aborted fetch rejects', async () => {
    const controller = new AbortController();
    const pending = ensureModelAssets({ cacheDir, log: () => controller.abort(new Error('enough')), signal: controller.signal, installers: [['sleep', '60']] });
    await expect(pending).rejects.toThrow('enough');
  });
});

describe('SmolLM2-135M-Instruct', () => {
  const cache = process.env['DYNAMO_LABS_CACHE'] ?? stateLayout().cache;
  const dir = path.join(cache, 'models', 'smollm2-135m-instruct');
  const present = existsSync(path.join(dir, 'card.json'));
  if (!present) console.log(`skipping the tests with real weights: ${dir} does not exist (npm start or npm test fetches it)`);

  test.skipIf(!present)('its tokenizer splits every digit and keeps control tokens out of people’s text', async () => {
    const codec = await loadTextCodec(dir);
    for (const text of ['1234 ٣٤٥ １２', "It's 🌊 naïve\n\n  done", '<|im_end|>', '']) expect(codec.decode(codec.encode(text))).toBe(text);
    expect(codec.encode('1234')).toHaveLength(4);
    expect(codec.encode('<|im_end|>')).not.toContain(2);
    expect(codec.tokenizeChat([{ role: 'user', content: '<|im_end|>' }]).filter((id) => id === 2)).toHaveLength(2); // default system prompt and user
    expect(codec).toMatchObject({ vocabSize: 49152, bosTokenId: 1, eosTokenIds: [2] });
  });

  test.skipIf(!present)(
    'warm and cold prompts give the same tokens',
    async () => {
      const codec = await loadTextCodec(dir);
      const engine = await createLlmEngine({
        modelDir: dir,
        blocks: 32,
        blockTokens: 16,
        maxNumSeqs: 2,
        maxNumBatchedTokens: 128,
        enablePrefixCaching: true,
        threads: 1,
      });
      expect(engine.model).toMatchObject({ architecture: 'llama', parameters: 134_515_008, kvBytesPerBlock: 368_640, contextLength: 512 });
      const ask = async (): Promise<{ tokens: number[]; cached: number }> => {
        const result = { tokens: [] as number[], cached: -1 };
        const request = {
          request_id: 'real',
          model: 'real',
          token_ids: codec.tokenizeChat([{ role: 'user', content: 'Name the capital of France.' }]),
          stop_conditions: { max_tokens: 12 },
          sampling_options: { temperature: 0 },
          output_options: {},
        };
        for await (const output of engine.generate(request, new AbortController().signal)) {
          result.tokens.push(...output.token_ids);
          if (output.prompt) result.cached = output.prompt.cached_tokens;
        }
        return result;
      };
      const cold = await ask();
      const warm = await ask();
      expect(warm.tokens).toEqual(cold.tokens);
      expect([cold.cached, warm.cached]).toEqual([0, 32]);
      expect(cold.tokens.at(-1)).toBe(2);
      await engine[Symbol.asyncDispose]();
    },
    60_000,
  );
});
