#pragma once
#include <atomic>
#include <vector>

#include "../util/aligned_buffer.h"
#include "../util/thread_pool.h"
#include "kernels.h"
#include "kv_layout.h"
#include "model_spec.h"
#include "rope_table.h"
#include "weights.h"

namespace dynamo_labs::model {

/** A run of consecutive tokens of one sequence: a prefill chunk, or one token to decode after. */
struct SequenceSlice {
  const int32_t* tokens;
  int count;
  int start;                  ///< position of tokens[0]; the KV of everything before is in the blocks
  const int32_t* block_table; ///< covers [0, start + count)
  bool wants_logits;          ///< of the last token
};

/** How quantised weights are multiplied; others always are in f32. KV computed one way must not be continued the other way. */
enum class Arithmetic {
  Integer, ///< activations rounded to int8 in groups of 32, exact integer sums
  Float    ///< weights widened to f32
};

/**
 * One forward pass over a mixed batch: a pure function of tokens, block tables and pool bytes. Knows no hashes, no requests, no sampling.
 * Thread contract: one call at a time.
 */
class Transformer {
public:
  Transformer(ModelSpec spec, ModelWeights weights, KvLayout layout, const Kernels& kernels, int threads, Arithmetic arithmetic);

  /**
   * Writes the slices' keys and values into the pool and returns a row of `logitsStride()` floats per slice that wants logits, in their order;
   * the memory is reused by the next call. Entries from vocab_size on are -1e30. Stops early, with unusable logits, once `cancelled` is set.
   */
  const float* forward(const std::vector<SequenceSlice>& batch, const KvPool& pool, const std::atomic<bool>& cancelled);

  size_t logitsStride() const { return static_cast<size_t>(weights_.outputHead().paddedOutputs()); }
  const ModelSpec& spec() const { return spec_; }
  const KvLayout& layout() const { return layout_; }
  const Kernels& kernels() const { return kernels_; }
  Arithmetic arithmetic() const { return arithmetic_; }

private:
  struct Batch;
  void embed(const Batch& batch);
  void attend(const Batch& batch, int layer);
  void writeKv(const Batch& batch, int layer);
  void feedForward(int rows, const LayerWeights& weights);
  void addAndNormalise(int rows, const float* norm);
  const float* project(const Batch& batch);
  void matmul(const PackedMatrix& weights, const float* x, size_t x_stride, int rows, float* y, size_t y_stride);
  template <class F> void eachRow(int rows, F body);

  ModelSpec spec_;
  ModelWeights weights_;
  KvLayout layout_;
  const Kernels& kernels_;
  const Arithmetic arithmetic_;
  RopeTable rope_;
  ThreadPool pool_;
  // [row][...] of the current batch: residual stream, normalised or block output, q|k|v, attention output, gate|up, logits.
  AlignedBuffer residual_, hidden_, qkv_, attended_, gate_up_, logits_;
  QuantisedRows quantised_;            ///< what the current product multiplies
  std::vector<AlignedBuffer> scratch_; ///< per thread
};

} // namespace dynamo_labs::model
