#pragma once
#include <vector>

namespace dynamo_labs::model {

/** Shape of a dense Llama/Qwen2/Qwen3 decoder: RMSNorm, rotary attention with grouped KV heads, SwiGLU. */
struct ModelSpec {
  int vocab_size = 0, hidden_size = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, ffn_size = 0;
  float rms_eps = 0;
  bool attention_bias = false; ///< q, k and v have a bias (Qwen2)
  bool qk_norm = false;        ///< RMSNorm on each q and k head before the rotation (Qwen3)
  bool tied_embedding = false; ///< the output head is the embedding
  int max_position = 0;        ///< positions the rotation table covers
  std::vector<double> inverse_frequencies; ///< head_dim / 2 radians per position, scaling applied

  int queryWidth() const { return heads * head_dim; }
  int kvWidth() const { return kv_heads * head_dim; }
  int qkvWidth() const { return queryWidth() + 2 * kvWidth(); }
  int headsPerKvHead() const { return heads / kv_heads; }
};

/** Throws ModelError naming the first dimension the kernels cannot handle. */
void validate(const ModelSpec& spec);

} // namespace dynamo_labs::model
