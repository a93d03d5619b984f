/** Llama 3's rotary scaling, as `rope_scaling` of config.json has it. */
export interface Llama3RopeScaling {
  factor: number;
  low_freq_factor: number;
  high_freq_factor: number;
  original_max_position_embeddings: number;
}

/**
 * Radians per position of each pair of a head's elements: theta^(-2i/headDim), long wavelengths stretched by Llama 3's rule where given.
 * Source: transformers modeling_rope_utils `_compute_llama3_parameters`.
 */
export function ropeFrequencies(headDim: number, theta: number, scaling?: Llama3RopeScaling): Float64Array {
  const frequencies = Float64Array.from({ length: headDim / 2 }, (_, i) => theta ** ((-2 * i) / headDim));
  if (!scaling) return frequencies;
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original } = scaling;
  return frequencies.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength < original / high) return frequency;
    if (wavelength > original / low) return frequency / factor;
    const smooth = (original / wavelength - low) / (high - low);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}
