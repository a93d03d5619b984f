#pragma once
#include <functional>
#include <string>
#include <vector>

#include "model_spec.h"
#include "packed_matrix.h"

namespace dynamo_labs::model {

struct LayerWeights {
  const float *attention_norm = nullptr, *ffn_norm = nullptr;
  const float *qkv_bias = nullptr, *q_norm = nullptr, *k_norm = nullptr; ///< nullptr where the architecture has none
  PackedMatrix qkv, attention_output, gate_up, down;
};

struct ModelWeights {
  std::vector<LayerWeights> layers;
  const float* final_norm = nullptr;
  PackedMatrix embedding; ///< the output head too where tied
  PackedMatrix head;      ///< empty where tied

  const PackedMatrix& outputHead() const { return head.outputs ? head : embedding; }
};

/** Finds a tensor by its Hugging Face name; throws ModelError(MISSING_TENSOR). The bytes must stay mapped until loading returns. */
using TensorLookup = std::function<TensorView(const std::string&)>;

/** Packs everything into `arena`. Throws ModelError for missing, wrongly shaped or non-finite tensors. */
ModelWeights loadWeights(const ModelSpec& spec, const TensorLookup& lookup, Arena& arena);

} // namespace dynamo_labs::model
