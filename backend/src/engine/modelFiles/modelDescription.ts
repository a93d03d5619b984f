import type { NativeModelSpec, NativeTensor } from '@dynamo-labs/native';

/** What a model's files say, ready for the native loader. */
export interface ModelDescription {
  name: string;
  architecture: 'llama' | 'qwen2' | 'qwen3';
  parameters: number;
  eosTokenIds: number[];
  /** Positions the model was trained for. */
  contextLength: number;
  spec: Omit<NativeModelSpec, 'maxPosition'>;
  files: string[];
  tensors: NativeTensor[];
}

export function isSupportedArchitecture(name: unknown): name is ModelDescription['architecture'] {
  return name === 'llama' || name === 'qwen2' || name === 'qwen3';
}
