export { EngineError, type EngineErrorCode } from './engineError.ts';
export { createLlmEngine } from './createLlmEngine.ts';
export type { HostTierStats } from './hostTier.ts';
export type { HeldPrompt, KvCacheShape, KvConnector, KvLoad, KvLoadResult } from './kvConnector.ts';
export type { EngineStats, LlmEngine, LlmEngineOptions } from './llmEngineApi.ts';
export { ModelFileError, type ModelFileErrorCode } from './modelFiles/index.ts';
