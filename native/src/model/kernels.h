#pragma once
#include <cstddef>
#include <cstdint>

#include "kv_layout.h"
#include "packed_matrix.h"
#include "quantised_rows.h"

namespace dynamo_labs::model {

/** y[m][n] = sum over k of x[m][k] * W[n][k], for the outputs of panels [panel_begin, panel_end). Rows of y hold whole panels. */
struct MatmulTask {
  const PackedMatrix* weights;
  int panel_begin, panel_end;
  const float* x;
  size_t x_stride;
  int rows;
  float* y;
  size_t y_stride;
  float* scratch; ///< kMatmulScratch floats, 64-byte aligned
};
constexpr size_t kMatmulScratch = 4 * 256 * kPanel;

/** The same product of quantised weights (Q8_0, Q4_1) with quantised activations. */
struct IntegerMatmulTask {
  const PackedMatrix* weights;
  int panel_begin, panel_end;
  const QuantisedRows* x;
  int rows;
  float* y;
  size_t y_stride;
};

/** Causal attention of some tokens of one slice over one KV head and the query heads that share it. */
struct AttentionTask {
  const KvLayout* layout;
  const uint16_t* pool;
  int layer, kv_head, heads_per_kv_head;
  const int32_t* block_table;
  int start;                  ///< position of the slice's first token
  int token_begin, token_end; ///< tokens of the slice
  const float* q;             ///< slice's first token, first query head of the layer
  size_t q_stride;
  float* out;
  size_t out_stride;
  float* scratch; ///< attentionScratch() floats, 64-byte aligned
};
/** Floats of scratch for `rows` query rows over a context of `positions`. */
inline size_t attentionScratch(int rows, int positions, int head_dim) {
  const size_t padded = (static_cast<size_t>(positions) + kPanel - 1) / kPanel * kPanel;
  return rows * (padded + 2 * static_cast<size_t>(head_dim)) + 2 * static_cast<size_t>(kPanel) * head_dim; // 2 widened tiles
}

/**
 * The arithmetic, once per instruction set, chosen at run time.
 *
 * Contract (what makes the engine batch-invariant): every output number is computed by one fixed chain of IEEE operations that depends only on
 * the row it belongs to, never on how many rows, tiles or threads share the call. All implementations use the same chains, so they agree to the bit.
 */
struct Kernels {
  const char* name;
  void (*matmul)(const MatmulTask&);
  /** Row `row` of a matrix of `groups` * 32 columns into its tile of QuantisedRows. */
  void (*quantiseRow)(const float* x, int groups, QuantisedGroup* tile, int row);
  void (*matmulInteger)(const IntegerMatmulTask&);
  void (*attention)(const AttentionTask&);
  /** Keys and values of one token (all KV heads of one layer) into slot `slot` of a block's layer, saturated to f16's finite range. */
  void (*storeKv)(const KvLayout&, uint16_t* block_layer, int slot, const float* k, const float* v);
  void (*rmsNorm)(const float* x, const float* weight, float* y, int n, float eps);
  void (*add)(float* x, const float* y, int n); ///< x += y
  void (*rotate)(float* head, const float* cosines, const float* sines, int half);
  void (*swiGlu)(float* gate, const float* up, int n); ///< gate = silu(gate) * up
  float (*maximum)(const float* x, int n);             ///< n a multiple of 8
  float (*sumExp)(const float* x, int n, float maximum); ///< sum of exp(x - maximum); entries below -1e29 count 0; n a multiple of 8
};

/** `name`: "auto" (the best this CPU runs), "avx512", "avx2" or "portable". Throws ModelError for one that this CPU or build lacks. */
const Kernels& selectKernels(const char* name);

} // namespace dynamo_labs::model
