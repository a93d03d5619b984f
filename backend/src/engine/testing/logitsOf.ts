import { nativeAddon } from '@dynamo-labs/native';
import type { ModelDescription } from '../modelFiles/index.ts';

/** The logits behind the last of at most 64 tokens, computed in f32 in blocks that do not lie in order. */
export async function logitsOf(description: ModelDescription, tokens: number[]): Promise<Float32Array> {
  const model = await nativeAddon().loadModel({
    spec: { ...description.spec, maxPosition: 64 },
    files: description.files,
    tensors: description.tensors,
    blockTokens: 16,
    threads: 1,
  });
  model.attachPool(nativeAddon().allocatePages(model.info.blockBytes * 4));
  const [result] = await model.step([{ tokens: Int32Array.from(tokens), start: 0, blocks: Int32Array.of(2, 0, 3, 1), logits: true }]);
  await model.dispose();
  return result!.logits!;
}
