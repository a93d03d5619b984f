import type { LlmEngine } from './llmEngineApi.ts';
import type { ModelRunner } from './modelRunner.ts';

/** What an engine says about its model. */
export function engineModel(runner: ModelRunner, blockTokens: number): LlmEngine['model'] {
  const { name, architecture, parameters, eosTokenIds, spec } = runner.description;
  return {
    name,
    architecture,
    parameters,
    eosTokenIds,
    vocabSize: spec.vocabSize,
    contextLength: runner.maxModelLen,
    blockTokens,
    kvBytesPerBlock: runner.blockBytes,
    weights: runner.weights,
    fingerprint: runner.fingerprint,
  };
}
