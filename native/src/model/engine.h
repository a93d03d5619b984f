#pragma once
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "arena.h"
#include "sampler.h"
#include "transformer.h"

namespace dynamo_labs::model {

/** Where a tensor's bytes lie. */
struct TensorSource {
  std::string name;
  int file = 0; ///< index into LoadRequest::files
  uint64_t offset = 0;
  DType type = DType::F32;
  int rows = 0, cols = 0, interleaved_heads = 0;
};

struct LoadRequest {
  ModelSpec spec;
  std::vector<std::string> files;
  std::vector<TensorSource> tensors;
  int block_tokens = 16, threads = 1;
  std::string kernels = "auto";
  Arithmetic arithmetic = Arithmetic::Float;
  WeightsFileName weights_file;
};

struct StepSlice {
  std::vector<int32_t> tokens, blocks;
  int start = 0;
  bool wants_logits = false;
  std::optional<Sampling> sampling;
};

struct StepResult {
  std::optional<Sampled> sampled;
  std::vector<float> logits;
};

/** A loaded model: weights, scratch and the arithmetic of one step. Thread contract: one call at a time; `cancelled` may be set from any thread. */
class Engine {
public:
  /** Maps the files, checks every tensor against them and packs. Throws ModelError or std::system_error. */
  Engine(const LoadRequest& request, const std::atomic<bool>& cancelled);

  /** Throws ModelError naming the slice's field when a slice does not fit the model or the pool. Cheap; call before `step`. */
  void check(const std::vector<StepSlice>& slices, const KvPool& pool) const;
  /** One forward pass over the checked slices, and the sampling they ask for. Ends within a layer, with ModelError(CANCELLED), once `cancelled` is set. */
  std::vector<StepResult> step(const std::vector<StepSlice>& slices, const KvPool& pool);

  const KvLayout& layout() const { return transformer_->layout(); }
  const Kernels& kernels() const { return transformer_->kernels(); }
  Arithmetic arithmetic() const { return transformer_->arithmetic(); }
  size_t weightBytes() const { return arena_.bytes(); }
  bool weightsShared() const { return arena_.shared(); }
  /** Why the weights are not shared though a file was named; else empty. */
  const std::string& weightsProblem() const { return arena_.problem(); }

private:
  Arena arena_;
  std::unique_ptr<Transformer> transformer_;
  const std::atomic<bool>& cancelled_;
};

} // namespace dynamo_labs::model
