#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace dynamo_labs::model {

/** Element types that are read from files. Q8_0 and Q4_1 are ggml's: groups of 32 along a row. */
enum class DType { F32, F16, BF16, Q8_0, Q4_1 };

constexpr int kQuantGroup = 32;

/** Bytes of one row of `cols` elements. `cols` must be a multiple of 32 for the quantised types. */
size_t rowBytes(DType type, int cols);
const char* name(DType type);

/** One tensor in a mapped file, seen as a matrix with a row per output. A vector is one row. */
struct TensorView {
  std::string name;
  const uint8_t* data = nullptr;
  DType type = DType::F32;
  int rows = 0, cols = 0;
  /** Heads whose rows are in llama.cpp's interleaved rotary order (GGUF, llama architecture, q and k); 0 if in Hugging Face order. */
  int interleaved_heads = 0;

  /** Start of row `r` in Hugging Face order. */
  const uint8_t* row(int r) const;
  /** Row `r` as f32, rounded exactly as ggml's reference dequantisation. */
  void readRow(int r, float* out) const;
};

} // namespace dynamo_labs::model
