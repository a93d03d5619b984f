#include "tensor.h"

#include <cmath>

#include "../util/half.h"

namespace dynamo_labs::model {

namespace {

uint16_t load16(const uint8_t* p) {
  uint16_t value;
  std::memcpy(&value, p, 2);
  return value;
}

void dequantiseQ8(const uint8_t* group, float* out) {
  const float scale = halfToFloat(load16(group));
  for (int j = 0; j < kQuantGroup; j++) out[j] = scale * static_cast<int8_t>(group[2 + j]);
}

void dequantiseQ4(const uint8_t* group, float* out) {
  const float scale = halfToFloat(load16(group)), minimum = halfToFloat(load16(group + 2));
  for (int j = 0; j < 16; j++) {
    out[j] = std::fmaf(scale, static_cast<float>(group[4 + j] & 15), minimum);
    out[j + 16] = std::fmaf(scale, static_cast<float>(group[4 + j] >> 4), minimum);
  }
}

} // namespace

size_t rowBytes(DType type, int cols) {
  const size_t n = static_cast<size_t>(cols);
  switch (type) {
  case DType::F32: return n * 4;
  case DType::F16:
  case DType::BF16: return n * 2;
  case DType::Q8_0: return n / kQuantGroup * 34;
  case DType::Q4_1: return n / kQuantGroup * 20;
  }
  return 0;
}

const char* name(DType type) {
  switch (type) {
  case DType::F32: return "F32";
  case DType::F16: return "F16";
  case DType::BF16: return "BF16";
  case DType::Q8_0: return "Q8_0";
  case DType::Q4_1: return "Q4_1";
  }
  return "?";
}

const uint8_t* TensorView::row(int r) const {
  if (interleaved_heads) {
    const int head_dim = rows / interleaved_heads, half = head_dim / 2, head = r / head_dim, i = r % head_dim;
    r = head * head_dim + (i % half) * 2 + i / half;
  }
  return data + static_cast<size_t>(r) * rowBytes(type, cols);
}

void TensorView::readRow(int r, float* out) const {
  const uint8_t* source = row(r);
  switch (type) {
  case DType::F32: std::memcpy(out, source, rowBytes(type, cols)); return;
  case DType::F16:
    for (int i = 0; i < cols; i++) out[i] = halfToFloat(load16(source + 2 * i));
    return;
  case DType::BF16:
    for (int i = 0; i < cols; i++) out[i] = bfloatToFloat(load16(source + 2 * i));
    return;
  case DType::Q8_0:
    for (int g = 0; g < cols / kQuantGroup; g++) dequantiseQ8(source + g * 34, out + g * kQuantGroup);
    return;
  case DType::Q4_1:
    for (int g = 0; g < cols / kQuantGroup; g++) dequantiseQ4(source + g * 20, out + g * kQuantGroup);
    return;
  }
}

} // namespace dynamo_labs::model
