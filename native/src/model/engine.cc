#include "engine.h"

#include <unordered_map>

#include "../util/mapped_file.h"
#include "model_error.h"

namespace dynamo_labs::model {

namespace {

TensorView view(const TensorSource& source, const std::vector<MappedFile>& files, const std::vector<std::string>& paths) {
  const std::string& name = source.name;
  if (source.rows <= 0 || source.cols <= 0) throw ModelError("TENSOR_SHAPE", name, "is empty");
  const bool quantised = source.type == DType::Q8_0 || source.type == DType::Q4_1;
  if (quantised && source.cols % kQuantGroup != 0) throw ModelError("TENSOR_SHAPE", name, "rows of a quantised tensor must be multiples of 32");
  if (source.interleaved_heads < 0 || (source.interleaved_heads && source.rows % (2 * source.interleaved_heads) != 0 && source.cols % (2 * source.interleaved_heads) != 0))
    throw ModelError("TENSOR_SHAPE", name, "does not divide into its heads");
  if (source.file < 0 || static_cast<size_t>(source.file) >= files.size()) throw ModelError("MISSING_FILE", name, "names a file that was not given");
  const MappedFile& file = files[source.file];
  const size_t bytes = static_cast<size_t>(source.rows) * rowBytes(source.type, source.cols);
  if (source.offset > file.size() || bytes > file.size() - source.offset)
    throw ModelError("TRUNCATED", name,
                     "needs bytes " + std::to_string(source.offset) + ".." + std::to_string(source.offset + bytes) + ", " + paths[source.file] + " has " +
                         std::to_string(file.size()));
  return {name, file.data() + source.offset, source.type, source.rows, source.cols, source.interleaved_heads};
}

} // namespace

Engine::Engine(const LoadRequest& request, const std::atomic<bool>& cancelled) : cancelled_(cancelled) {
  validate(request.spec);
  const int tokens = request.block_tokens;
  if (tokens != 8 && tokens != 16 && tokens != 32 && tokens != 64) throw ModelError("UNSUPPORTED_SHAPE", "blockTokens", "must be 8, 16, 32 or 64");
  if (request.threads < 1 || request.threads > 256) throw ModelError("UNSUPPORTED_SHAPE", "threads", "must be between 1 and 256");
  const Kernels& kernels = selectKernels(request.kernels.c_str());

  std::vector<MappedFile> files;
  for (const std::string& path : request.files) files.emplace_back(path);
  std::unordered_map<std::string, TensorView> tensors;
  for (const TensorSource& source : request.tensors) tensors.emplace(source.name, view(source, files, request.files));
  const TensorLookup lookup = [&](const std::string& name) {
    const auto found = tensors.find(name);
    if (found == tensors.end()) throw ModelError("MISSING_TENSOR", name, "is not in the model's files");
    return found->second;
  };
  ModelWeights weights = loadWeights(request.spec, lookup, arena_, request.weights_file, cancelled);
  const KvLayout layout{request.spec.layers, request.spec.kv_heads, request.spec.head_dim, tokens};
  transformer_ = std::make_unique<Transformer>(request.spec, std::move(weights), layout, kernels, request.threads, request.arithmetic);
}

void Engine::check(const std::vector<StepSlice>& slices, const KvPool& pool) const {
  const auto require = [](bool holds, const char* field, const std::string& message) {
    if (!holds) throw ModelError("INVALID_SLICE", field, message);
  };
  const ModelSpec& spec = transformer_->spec();
  require(!slices.empty(), "slices", "is empty");
  for (const StepSlice& slice : slices) {
    const int64_t end = static_cast<int64_t>(slice.start) + static_cast<int64_t>(slice.tokens.size());
    require(!slice.tokens.empty(), "tokens", "is empty");
    require(slice.start >= 0 && end <= spec.max_position, "start", "positions end at " + std::to_string(end) + ", the model at " + std::to_string(spec.max_position));
    for (int32_t token : slice.tokens)
      require(token >= 0 && token < spec.vocab_size, "tokens", "holds " + std::to_string(token) + ", the vocabulary has " + std::to_string(spec.vocab_size));
    const int64_t covered = static_cast<int64_t>(slice.blocks.size()) * layout().block_tokens;
    require(covered >= end, "blocks", "cover " + std::to_string(covered) + " of " + std::to_string(end) + " positions");
    for (int32_t block : slice.blocks)
      require(block >= 0 && block < pool.blocks, "blocks", "holds " + std::to_string(block) + ", the pool has " + std::to_string(pool.blocks));
  }
}

std::vector<StepResult> Engine::step(const std::vector<StepSlice>& slices, const KvPool& pool) {
  std::vector<SequenceSlice> batch;
  for (const StepSlice& s : slices)
    batch.push_back({s.tokens.data(), static_cast<int>(s.tokens.size()), s.start, s.blocks.data(), s.wants_logits || s.sampling.has_value()});
  const float* logits = transformer_->forward(batch, pool, cancelled_);
  if (cancelled_) throw ModelError("CANCELLED", "engine", "was disposed during the step");

  const int vocab = transformer_->spec().vocab_size;
  std::vector<float> row(transformer_->logitsStride());
  std::vector<StepResult> results(slices.size());
  for (size_t i = 0; i < slices.size(); i++) {
    if (!batch[i].wants_logits) continue;
    if (slices[i].wants_logits) results[i].logits.assign(logits, logits + vocab);
    if (slices[i].sampling) {
      row.assign(logits, logits + row.size());
      results[i].sampled = sample(row.data(), vocab, row.size(), *slices[i].sampling, kernels());
    }
    logits += row.size();
  }
  return results;
}

} // namespace dynamo_labs::model
