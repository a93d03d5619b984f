#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels.h"

namespace dynamo_labs::model {

struct Sampling {
  float temperature = 0; ///< 0 takes the most likely token
  float top_p = 1;
  int top_k = 0;       ///< 0 keeps all
  uint64_t seed = 0;   ///< with the position it is the whole state of the generator: batching, preemption and migration do not change a draw
  int position = 0;    ///< of the token to be drawn
  int top_logprobs = -1; ///< -1: none wanted; 0: the drawn token's only
  std::vector<int32_t> banned; ///< never drawn (end-of-sequence tokens before min_tokens)
};

struct Sampled {
  int32_t token = -1;
  float logprob = 0; ///< natural logarithm, of the model's own distribution (before temperature, top-k and top-p)
  std::vector<std::pair<int32_t, float>> top;
};

/** Draws from `logits` ([vocab_size] padded to a multiple of 8 with -1e30; changed where tokens are banned). Throws ModelError(NOT_FINITE). */
Sampled sample(float* logits, int vocab_size, size_t padded_size, const Sampling& sampling, const Kernels& kernels);

} // namespace dynamo_labs::model
