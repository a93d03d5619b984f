import { randomBytes } from 'node:crypto';
import type { PreprocessedRequest } from '../protocol/index.ts';
import type { BlockManager } from './blockManager.ts';
import type { LlmEngine, LlmEngineOptions } from './llmEngineApi.ts';
import { checkRequest } from './requestCheck.ts';
import { Sequence } from './sequence.ts';

/** Checks a request and gives it its seed, its limits and its blocks' identities. Throws EngineError. */
export function newSequence(request: PreprocessedRequest, model: LlmEngine['model'], blocks: BlockManager, options: LlmEngineOptions): Sequence {
  const { contextLength: maxModelLen, vocabSize } = model;
  checkRequest(request, { vocabSize, maxModelLen, stopStrings: options.textStream !== undefined });
  const { seed } = request.sampling_options;
  const maxTokens = Math.min(maxModelLen, request.token_ids.length + request.stop_conditions.max_tokens);
  const sequence = new Sequence(request, seed === undefined ? randomBytes(8).readBigUInt64LE() : BigInt.asUintN(64, BigInt(seed)), maxTokens);
  if (options.enablePrefixCaching) sequence.identities = blocks.identify(sequence.slice(0, sequence.length));
  const remoteTokens = options.connector?.remoteTokens(request);
  if (remoteTokens !== undefined) sequence.remoteTokens = Math.min(remoteTokens, sequence.length - 1);
  return sequence;
}
