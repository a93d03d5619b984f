export type GgufType = 'F32' | 'F16' | 'BF16' | 'Q4_0' | 'Q4_1' | 'Q5_0' | 'Q5_1' | 'Q8_0' | 'Q2_K' | 'Q3_K' | 'Q4_K' | 'Q5_K' | 'Q6_K';

/** How a tensor type is stored: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h */
export interface GgufTypeLayout {
  name: GgufType;
  /** Elements that share one block of bytes. */
  blockElements: number;
  blockBytes: number;
}

const layout = (name: GgufType, blockElements: number, blockBytes: number): GgufTypeLayout => ({ name, blockElements, blockBytes });

/** By ggml's number of the type. */
export const ggufTypes: ReadonlyMap<number, GgufTypeLayout> = new Map([
  [0, layout('F32', 1, 4)],
  [1, layout('F16', 1, 2)],
  [2, layout('Q4_0', 32, 18)],
  [3, layout('Q4_1', 32, 20)],
  [6, layout('Q5_0', 32, 22)],
  [7, layout('Q5_1', 32, 24)],
  [8, layout('Q8_0', 32, 34)],
  [10, layout('Q2_K', 256, 84)],
  [11, layout('Q3_K', 256, 110)],
  [12, layout('Q4_K', 256, 144)],
  [13, layout('Q5_K', 256, 176)],
  [14, layout('Q6_K', 256, 210)],
  [30, layout('BF16', 1, 2)],
]);

/** What the engine multiplies as it lies in the file; the others go through `convertGguf`. */
export const engineTypes = ['F32', 'F16', 'BF16', 'Q8_0', 'Q4_1'] as const;

export function isEngineType(type: GgufType): type is (typeof engineTypes)[number] {
  return engineTypes.some((name) => name === type);
}
