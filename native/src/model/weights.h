#pragma once
#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "model_spec.h"
#include "packed_matrix.h"
#include "weights_file.h"

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

/**
 * Packs everything into `arena`, or finds it packed in `file`. Throws ModelError for missing or wrongly shaped tensors, and for non-finite ones where it
 * packs: what is in the file was looked at when it was packed.
 */
ModelWeights loadWeights(const ModelSpec& spec, const TensorLookup& lookup, Arena& arena, const WeightsFileName& file, const std::atomic<bool>& cancelled);

} // namespace dynamo_labs::model
