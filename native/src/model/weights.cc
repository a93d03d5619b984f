#include "weights.h"

#include <cmath>

#include "arena.h"
#include "model_error.h"

namespace dynamo_labs::model {

namespace {

class Loader {
public:
  Loader(const ModelSpec& spec, const TensorLookup& lookup, Arena& arena) : spec_(spec), lookup_(lookup), arena_(arena) {}

  ModelWeights load() {
    ModelWeights weights;
    weights.embedding = pack({matrix("model.embed_tokens.weight", spec_.vocab_size, spec_.hidden_size)}, arena_);
    if (!spec_.tied_embedding) weights.head = pack({matrix("lm_head.weight", spec_.vocab_size, spec_.hidden_size)}, arena_);
    weights.final_norm = vectors({{"model.norm.weight", spec_.hidden_size}});
    for (int l = 0; l < spec_.layers; l++) weights.layers.push_back(layer("model.layers." + std::to_string(l) + "."));
    return weights;
  }

private:
  LayerWeights layer(const std::string& prefix) {
    const int hidden = spec_.hidden_size, query = spec_.queryWidth(), kv = spec_.kvWidth();
    const std::string attention = prefix + "self_attn.", mlp = prefix + "mlp.";
    LayerWeights w;
    w.attention_norm = vectors({{prefix + "input_layernorm.weight", hidden}});
    w.ffn_norm = vectors({{prefix + "post_attention_layernorm.weight", hidden}});
    w.qkv = pack({matrix(attention + "q_proj.weight", query, hidden), matrix(attention + "k_proj.weight", kv, hidden),
                  matrix(attention + "v_proj.weight", kv, hidden)},
                 arena_);
    if (spec_.attention_bias) w.qkv_bias = vectors({{attention + "q_proj.bias", query}, {attention + "k_proj.bias", kv}, {attention + "v_proj.bias", kv}});
    if (spec_.qk_norm) {
      w.q_norm = vectors({{attention + "q_norm.weight", spec_.head_dim}});
      w.k_norm = vectors({{attention + "k_norm.weight", spec_.head_dim}});
    }
    w.attention_output = pack({matrix(attention + "o_proj.weight", hidden, query)}, arena_);
    w.gate_up = pack({matrix(mlp + "gate_proj.weight", spec_.ffn_size, hidden), matrix(mlp + "up_proj.weight", spec_.ffn_size, hidden)}, arena_);
    w.down = pack({matrix(mlp + "down_proj.weight", hidden, spec_.ffn_size)}, arena_);
    return w;
  }

  TensorView matrix(const std::string& name, int rows, int cols) {
    const TensorView tensor = lookup_(name);
    if (tensor.rows != rows || tensor.cols != cols)
      throw ModelError("TENSOR_SHAPE", name,
                       "is [" + std::to_string(tensor.rows) + ", " + std::to_string(tensor.cols) + "], expected [" + std::to_string(rows) + ", " +
                           std::to_string(cols) + "]");
    return tensor;
  }

  /** Vectors one after another as f32. */
  const float* vectors(const std::vector<std::pair<std::string, int>>& parts) {
    size_t total = 0;
    for (const auto& part : parts) total += static_cast<size_t>(part.second);
    float* out = static_cast<float*>(arena_.allocate(total * sizeof(float)));
    size_t at = 0;
    for (const auto& [name, size] : parts) {
      // A bias is a matrix of one column in GGUF's interleaved order: each element is a row.
      TensorView tensor = lookup_(name);
      if (tensor.rows * tensor.cols != size || (tensor.rows != 1 && tensor.cols != 1))
        throw ModelError("TENSOR_SHAPE", name, "has " + std::to_string(tensor.rows * tensor.cols) + " elements, expected " + std::to_string(size));
      if (tensor.interleaved_heads) tensor.rows = size, tensor.cols = 1;
      if (arena_.filling()) {
        for (int r = 0; r < tensor.rows; r++) tensor.readRow(r, out + at + static_cast<size_t>(r) * tensor.cols);
        for (int i = 0; i < size; i++)
          if (!std::isfinite(out[at + i])) throw ModelError("NOT_FINITE", name, "holds a NaN or an infinity");
      }
      at += static_cast<size_t>(size);
    }
    return out;
  }

  const ModelSpec& spec_;
  const TensorLookup& lookup_;
  Arena& arena_;
};

} // namespace

ModelWeights loadWeights(const ModelSpec& spec, const TensorLookup& lookup, Arena& arena, const WeightsFileName& file, const std::atomic<bool>& cancelled) {
  Loader(spec, lookup, arena).load(); // measures
  arena.commit(file, cancelled);
  ModelWeights weights = Loader(spec, lookup, arena).load(); // packs, or finds packed
  arena.seal();
  return weights;
}

} // namespace dynamo_labs::model
