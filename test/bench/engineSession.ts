import { nativeAddon, type NativeMatmul, type NativeModel } from '@dynamo-labs/native';
import { describeModel, packedWeightsFile } from '../../backend/src/engine/modelFiles/index.ts';

const blockTokens = 16;
/** Larger than the engine's default chunk, as llama.cpp's batch. */
const chunkTokens = 512;

/** One sequence on the bare model, one thread. */
export interface EngineSession {
  readonly kernels: string;
  prefill(tokens: readonly number[]): Promise<void>;
  /** Goes on after `position` with `count` tokens, the most likely each time. */
  decode(first: number, position: number, count: number): Promise<void>;
  /** Logits after every token, each computed as a step of its own. */
  eachLogits(tokens: readonly number[], visit: (position: number, logits: Float32Array) => void): Promise<void>;
  close(): Promise<void>;
}

export async function openEngineSession(modelDir: string, positions: number, matmul: NativeMatmul): Promise<EngineSession> {
  const description = describeModel(modelDir);
  const { spec, files, tensors } = description;
  const addon = nativeAddon();
  const weightsFile = packedWeightsFile(description);
  const model: NativeModel = await addon.loadModel({ spec: { ...spec, maxPosition: positions }, files, tensors, blockTokens, threads: 1, matmul, weightsFile });
  const count = Math.ceil(positions / blockTokens);
  model.attachPool(addon.allocatePages(model.info.blockBytes * count));
  const blocks = Int32Array.from({ length: count }, (_, i) => i);
  const greedy = (position: number) => ({ temperature: 0, seed: 0n, position });
  return {
    kernels: model.info.kernels,
    async prefill(tokens) {
      for (let start = 0; start < tokens.length; start += chunkTokens) {
        const chunk = Int32Array.from(tokens.slice(start, start + chunkTokens));
        const last = start + chunk.length === tokens.length;
        await model.step([{ tokens: chunk, start, blocks, ...(last && { sampling: greedy(tokens.length) }) }]);
      }
    },
    async decode(first, position, steps) {
      for (let token = first, i = 0; i < steps; i++) {
        const [result] = await model.step([{ tokens: Int32Array.of(token), start: position + i, blocks, sampling: greedy(position + i + 1) }]);
        token = result!.token!;
      }
    },
    async eachLogits(tokens, visit) {
      for (const [position, token] of tokens.entries()) {
        const [result] = await model.step([{ tokens: Int32Array.of(token), start: position, blocks, logits: true }]);
        visit(position, result!.logits!);
      }
    },
    close: () => model.dispose(),
  };
}
