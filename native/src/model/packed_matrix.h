#pragma once
#include <cstdint>
#include <vector>

#include "tensor.h"

namespace dynamo_labs::model {

class Arena;

/** Outputs per panel: the width of a micro-kernel's vector. */
constexpr int kPanel = 16;

/**
 * A weight matrix W[outputs][inputs] in panels of 16 outputs, so that a kernel reads 16 outputs of one input as one vector.
 *
 *   F32, F16, BF16   data [panel][input][16]
 *   Q8_0             data [panel][input / 4][16][4] int8              scales [panel][input / 32][16] f16
 *   Q4_1             data [panel][input / 8][16][4], byte j holding   scales [panel][input / 32][2][16] f16 (scale, minimum)
 *                    input j in its low and j + 4 in its high nibble
 *
 * Quantised weights keep the file's numbers; their f32 value is the one ggml's reference computes. Missing outputs of the last panel are 0.
 */
struct PackedMatrix {
  int outputs = 0, inputs = 0;
  DType storage = DType::F32;
  uint8_t* data = nullptr;
  uint16_t* scales = nullptr;

  bool quantised() const { return storage == DType::Q8_0 || storage == DType::Q4_1; }
  int panels() const { return (outputs + kPanel - 1) / kPanel; }
  /** Outputs rounded up to whole panels: the row stride a product needs. */
  int paddedOutputs() const { return panels() * kPanel; }
  size_t panelBytes() const;
  /** f16 values per panel. */
  size_t panelScales() const;

  /** W[output] as f32 (an embedding lookup). */
  void readRow(int output, float* out) const;
};

/**
 * Stacks `parts` (same inputs) into one matrix. Their common type is kept; parts of different types become F32.
 * Throws ModelError when a weight is not finite.
 */
PackedMatrix pack(const std::vector<TensorView>& parts, Arena& arena);

} // namespace dynamo_labs::model
