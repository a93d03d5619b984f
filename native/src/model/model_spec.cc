#include "model_spec.h"

#include <cmath>
#include <string>

#include "model_error.h"

namespace dynamo_labs::model {

namespace {

void require(bool holds, const char* field, const std::string& message) {
  if (!holds) throw ModelError("UNSUPPORTED_SHAPE", field, message);
}

void requireMultiple(int value, int of, const char* field) {
  require(value > 0 && value % of == 0, field, "is " + std::to_string(value) + ", must be a positive multiple of " + std::to_string(of));
}

} // namespace

void validate(const ModelSpec& spec) {
  require(spec.vocab_size > 0, "vocabSize", "must be positive");
  require(spec.layers > 0, "layers", "must be positive");
  requireMultiple(spec.hidden_size, 32, "hiddenSize");
  requireMultiple(spec.ffn_size, 32, "ffnSize");
  requireMultiple(spec.head_dim, 16, "headDim");
  require(spec.kv_heads > 0, "kvHeads", "must be positive");
  requireMultiple(spec.heads, spec.kv_heads, "heads");
  requireMultiple(spec.queryWidth(), 32, "heads * headDim");
  require(spec.rms_eps > 0, "rmsEps", "must be positive");
  require(spec.max_position > 0, "maxPosition", "must be positive");
  require(static_cast<int>(spec.inverse_frequencies.size()) == spec.head_dim / 2, "inverseFrequencies", "must have headDim / 2 entries");
  for (double frequency : spec.inverse_frequencies) require(std::isfinite(frequency), "inverseFrequencies", "must be finite");
}

} // namespace dynamo_labs::model
