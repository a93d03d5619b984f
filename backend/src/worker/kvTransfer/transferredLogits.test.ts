import { nativeAddon } from '@dynamo-labs/native';
import { randomBytes } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import { describeModel } from '../../engine/modelFiles/index.ts';
import { someTokens, temporaryTinyModel } from '../../engine/testing/tinyModels.ts';
import { parseGrant, TransferAgent } from '../../transfer/index.ts';

const files = temporaryTinyModel();
afterAll(() => files[Symbol.dispose]());

/** A model that computes in memory of a transfer agent. */
async function modelWithAgent(name: string, blockTokens: number) {
  const description = describeModel(files.dir);
  const model = await nativeAddon().loadModel({
    spec: { ...description.spec, maxPosition: 2048 },
    files: description.files,
    tensors: description.tensors,
    blockTokens,
    threads: 1,
  });
  const agent = new TransferAgent({ name, fingerprint: 'same', token: 't', listen: [`unix:@dynamo-labs-${randomBytes(6).toString('hex')}`] });
  const pool = agent.createPool({ blocks: 2048 / blockTokens, blockBytes: model.info.blockBytes });
  model.attachPool(pool.buffer);
  const logits = async (tokens: number[], start: number, blocks: number[]): Promise<Buffer> => {
    const [result] = await model.step([{ tokens: Int32Array.from(tokens), start, blocks: Int32Array.from(blocks), logits: true }]);
    return Buffer.from(result!.logits!.buffer, result!.logits!.byteOffset, result!.logits!.byteLength);
  };
  return {
    agent,
    pool,
    logits,
    async [Symbol.asyncDispose]() {
      await model.dispose();
      agent.close();
    },
  };
}

test.each([8, 16, 32, 64])('with blocks of %i tokens, logits after a transfer are the bytes of logits without one', async (blockTokens) => {
  await using prefill = await modelWithAgent('prefill', blockTokens);
  await using decode = await modelWithAgent('decode', blockTokens);
  for (const length of [2, blockTokens, blockTokens + 1, 3 * blockTokens - 1, 700]) {
    const prompt = someTokens(length, length);
    const after = someTokens(4, 1);
    const blocks = Array.from({ length: Math.ceil((length + after.length) / blockTokens) }, (_, i) => i);
    const expected = [await prefill.logits(prompt, 0, blocks)];
    const held = blocks.slice(0, Math.ceil((length - 1) / blockTokens));
    const grant = parseGrant(JSON.parse(JSON.stringify(prefill.pool.grant(held))));
    const elsewhere = blocks.map((block) => decode.pool.blocks - 1 - block);
    await decode.agent.read(grant, decode.pool, elsewhere.slice(0, held.length)).done;
    const got = [await decode.logits(prompt.slice(-1), length - 1, elsewhere)];
    for (const [i, token] of after.entries()) {
      expected.push(await prefill.logits([token], length + i, blocks));
      got.push(await decode.logits([token], length + i, elsewhere));
    }
    for (const [i, bytes] of got.entries()) expect(bytes.equals(expected[i]!), `length ${length}, step ${i}`).toBe(true);
  }
});
