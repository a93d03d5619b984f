#include "napi_model_values.h"

#include <algorithm>

#include "../model/model_error.h"

namespace dynamo_labs {

using namespace model;

namespace {

DType dtypeNamed(const Arguments& tensor) {
  const std::string type = tensor.string("dtype");
  for (DType candidate : {DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_1})
    if (type == name(candidate)) return candidate;
  throw ModelError("UNSUPPORTED_TYPE", tensor.string("name"), "has type " + type + " (supported: F32, F16, BF16, Q8_0, Q4_1)");
}

Arithmetic arithmeticNamed(const std::string& name) {
  if (name == "int8") return Arithmetic::Integer;
  if (name == "float") return Arithmetic::Float;
  throw ModelError("UNSUPPORTED_KERNELS", "matmul", "is \"" + name + "\" (int8, float)");
}

ModelSpec readSpec(const Arguments& from) {
  ModelSpec spec;
  spec.vocab_size = from.integer("vocabSize");
  spec.hidden_size = from.integer("hiddenSize");
  spec.layers = from.integer("layers");
  spec.heads = from.integer("heads");
  spec.kv_heads = from.integer("kvHeads");
  spec.head_dim = from.integer("headDim");
  spec.ffn_size = from.integer("ffnSize");
  spec.rms_eps = static_cast<float>(from.number("rmsEps"));
  spec.attention_bias = from.boolean("attentionBias");
  spec.qk_norm = from.boolean("qkNorm");
  spec.tied_embedding = from.boolean("tiedEmbedding");
  spec.max_position = from.integer("maxPosition");
  spec.inverse_frequencies = from.float64s("inverseFrequencies");
  return spec;
}

Sampling readSampling(const Arguments& from) {
  Sampling s;
  s.temperature = static_cast<float>(from.number("temperature"));
  if (from.has("topP")) s.top_p = static_cast<float>(from.number("topP"));
  if (from.has("topK")) s.top_k = from.integer("topK");
  s.seed = from.bigint("seed");
  s.position = from.integer("position");
  if (from.has("logprobs")) s.top_logprobs = from.integer("logprobs");
  if (from.has("banned")) s.banned = from.int32s("banned");
  return s;
}

} // namespace

LoadRequest readLoadRequest(const Arguments& from) {
  LoadRequest request;
  request.spec = readSpec(Arguments(from.get("spec"), "spec"));
  const Napi::Array files = from.array("files"), tensors = from.array("tensors");
  for (uint32_t i = 0; i < files.Length(); i++) request.files.push_back(files.Get(i).ToString().Utf8Value());
  for (uint32_t i = 0; i < tensors.Length(); i++) {
    const Arguments tensor(tensors.Get(i), "tensors[]");
    request.tensors.push_back({tensor.string("name"), tensor.integer("file"), tensor.offset("offset"), dtypeNamed(tensor), tensor.integer("rows"),
                               tensor.integer("cols"), tensor.integer("interleavedHeads")});
  }
  request.block_tokens = from.integer("blockTokens");
  request.threads = from.integer("threads");
  if (from.has("kernels")) request.kernels = from.string("kernels");
  if (from.has("weightsFile")) {
    const Arguments file(from.get("weightsFile"), "weightsFile");
    request.weights_file = {file.string("path"), file.string("key")};
  }
  if (from.has("matmul")) request.arithmetic = arithmeticNamed(from.string("matmul"));
  return request;
}

std::vector<StepSlice> readSlices(const Napi::Value& value) {
  if (!value.IsArray()) throw Napi::TypeError::New(value.Env(), "Expected `slices` to be an array");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<StepSlice> slices(array.Length());
  for (uint32_t i = 0; i < array.Length(); i++) {
    const Arguments from(array.Get(i), "slices[]");
    slices[i].tokens = from.int32s("tokens");
    slices[i].blocks = from.int32s("blocks");
    slices[i].start = from.integer("start");
    slices[i].wants_logits = from.has("logits") && from.boolean("logits");
    if (from.has("sampling")) slices[i].sampling = readSampling(Arguments(from.get("sampling"), "sampling"));
  }
  return slices;
}

Napi::Object toObject(Napi::Env env, const StepResult& result) {
  Napi::Object out = Napi::Object::New(env);
  if (result.sampled) {
    out.Set("token", result.sampled->token);
    out.Set("logprob", result.sampled->logprob);
    Napi::Array top = Napi::Array::New(env, result.sampled->top.size());
    for (uint32_t i = 0; i < top.Length(); i++) {
      Napi::Object entry = Napi::Object::New(env);
      entry.Set("token", result.sampled->top[i].first);
      entry.Set("logprob", result.sampled->top[i].second);
      top.Set(i, entry);
    }
    out.Set("top", top);
  }
  if (!result.logits.empty()) {
    Napi::Float32Array logits = Napi::Float32Array::New(env, result.logits.size());
    std::copy(result.logits.begin(), result.logits.end(), logits.Data());
    out.Set("logits", logits);
  }
  return out;
}

} // namespace dynamo_labs
