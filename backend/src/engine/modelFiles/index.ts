export { convertGguf, type ConvertGgufOptions } from './convertGguf.ts';
export { describeModel, modelFingerprint } from './describeModel.ts';
export { isEngineType } from './ggufTypes.ts';
export { readGguf, type GgufFile, type GgufValue } from './ggufFile.ts';
export type { ModelDescription } from './modelDescription.ts';
export { ModelFileError, type ModelFileErrorCode } from './modelFileError.ts';
export { ggufTokenizer, type HfTokenizerFiles } from './ggufTokenizer.ts';
export { packedWeightsFile } from './weightsFile.ts';
export { writeTinyModel, type TinyModelOptions } from './tinyModel.ts';
