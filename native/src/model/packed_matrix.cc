#include "packed_matrix.h"

#include <cmath>
#include <cstring>

#include "../util/half.h"
#include "arena.h"
#include "model_error.h"

namespace dynamo_labs::model {

namespace {

[[noreturn]] void notFinite(const TensorView& tensor) { throw ModelError("NOT_FINITE", tensor.name, "holds a NaN or an infinity"); }

uint16_t finiteHalf(const uint8_t* p, const TensorView& tensor) {
  uint16_t bits;
  std::memcpy(&bits, p, 2);
  if ((bits & 0x7c00) == 0x7c00) notFinite(tensor);
  return bits;
}

/** One row of the file becomes column `lane` of panel `panel`. */
class RowPacker {
public:
  RowPacker(PackedMatrix& matrix) : m_(matrix), row_(static_cast<size_t>(matrix.inputs)) {}

  void pack(const TensorView& tensor, int row, int output) {
    panel_ = m_.data + static_cast<size_t>(output / kPanel) * m_.panelBytes();
    scales_ = m_.scales + static_cast<size_t>(output / kPanel) * m_.panelScales();
    lane_ = output % kPanel;
    switch (m_.storage) {
    case DType::Q8_0: packQ8(tensor, tensor.row(row)); return;
    case DType::Q4_1: packQ4(tensor, tensor.row(row)); return;
    case DType::F16:
    case DType::BF16: packHalf(tensor, tensor.row(row)); return;
    case DType::F32: packFloat(tensor, row); return;
    }
  }

private:
  void packQ8(const TensorView& tensor, const uint8_t* source) {
    for (int g = 0; g < m_.inputs / kQuantGroup; g++, source += 34) {
      scales_[g * kPanel + lane_] = finiteHalf(source, tensor);
      for (int j = 0; j < kQuantGroup; j++) {
        const int k = g * kQuantGroup + j;
        panel_[(k / 4 * kPanel + lane_) * 4 + k % 4] = source[2 + j];
      }
    }
  }

  void packQ4(const TensorView& tensor, const uint8_t* source) {
    for (int g = 0; g < m_.inputs / kQuantGroup; g++, source += 20) {
      scales_[g * 2 * kPanel + lane_] = finiteHalf(source, tensor);
      scales_[(g * 2 + 1) * kPanel + lane_] = finiteHalf(source + 2, tensor);
      const auto nibble = [&](int j) { return j < 16 ? source[4 + j] & 15 : source[4 + j - 16] >> 4; };
      for (int octet = 0; octet < 4; octet++)
        for (int j = 0; j < 4; j++)
          panel_[((g * 4 + octet) * kPanel + lane_) * 4 + j] = static_cast<uint8_t>(nibble(octet * 8 + j) | nibble(octet * 8 + 4 + j) << 4);
    }
  }

  void packHalf(const TensorView& tensor, const uint8_t* source) {
    const uint16_t exponent = m_.storage == DType::F16 ? 0x7c00 : 0x7f80;
    uint16_t* out = reinterpret_cast<uint16_t*>(panel_);
    for (int k = 0; k < m_.inputs; k++) {
      uint16_t bits;
      std::memcpy(&bits, source + 2 * k, 2);
      if ((bits & exponent) == exponent) notFinite(tensor);
      out[k * kPanel + lane_] = bits;
    }
  }

  void packFloat(const TensorView& tensor, int row) {
    tensor.readRow(row, row_.data());
    float* out = reinterpret_cast<float*>(panel_);
    for (int k = 0; k < m_.inputs; k++) {
      if (!std::isfinite(row_[k])) notFinite(tensor);
      out[k * kPanel + lane_] = row_[k];
    }
  }

  PackedMatrix& m_;
  std::vector<float> row_;
  uint8_t* panel_ = nullptr;
  uint16_t* scales_ = nullptr;
  int lane_ = 0;
};

} // namespace

size_t PackedMatrix::panelBytes() const {
  const size_t elements = static_cast<size_t>(inputs) * kPanel;
  switch (storage) {
  case DType::F32: return elements * 4;
  case DType::F16:
  case DType::BF16: return elements * 2;
  case DType::Q8_0: return elements;
  case DType::Q4_1: return elements / 2;
  }
  return 0;
}

size_t PackedMatrix::panelScales() const {
  const size_t groups = static_cast<size_t>(inputs) / kQuantGroup;
  if (storage == DType::Q8_0) return groups * kPanel;
  if (storage == DType::Q4_1) return groups * kPanel * 2;
  return 0;
}

void PackedMatrix::readRow(int output, float* out) const {
  const uint8_t* panel = data + static_cast<size_t>(output / kPanel) * panelBytes();
  const uint16_t* scale = scales + static_cast<size_t>(output / kPanel) * panelScales();
  const int lane = output % kPanel;
  for (int k = 0; k < inputs; k++) {
    const int at = k * kPanel + lane, group = k / kQuantGroup;
    switch (storage) {
    case DType::F32: out[k] = reinterpret_cast<const float*>(panel)[at]; break;
    case DType::F16: out[k] = halfToFloat(reinterpret_cast<const uint16_t*>(panel)[at]); break;
    case DType::BF16: out[k] = bfloatToFloat(reinterpret_cast<const uint16_t*>(panel)[at]); break;
    case DType::Q8_0: {
      const int8_t q = static_cast<int8_t>(panel[(k / 4 * kPanel + lane) * 4 + k % 4]);
      out[k] = halfToFloat(scale[group * kPanel + lane]) * q;
      break;
    }
    case DType::Q4_1: {
      const uint8_t pair = panel[(k / 8 * kPanel + lane) * 4 + k % 4];
      const int q = k % 8 < 4 ? pair & 15 : pair >> 4;
      out[k] = std::fmaf(halfToFloat(scale[group * 2 * kPanel + lane]), static_cast<float>(q), halfToFloat(scale[(group * 2 + 1) * kPanel + lane]));
      break;
    }
    }
  }
}

PackedMatrix pack(const std::vector<TensorView>& parts, Arena& arena) {
  PackedMatrix m;
  m.inputs = parts[0].cols;
  m.storage = parts[0].type;
  for (const TensorView& part : parts) {
    m.outputs += part.rows;
    if (part.type != m.storage) m.storage = DType::F32;
  }
  m.data = static_cast<uint8_t*>(arena.allocate(static_cast<size_t>(m.panels()) * m.panelBytes()));
  m.scales = static_cast<uint16_t*>(arena.allocate(static_cast<size_t>(m.panels()) * m.panelScales() * 2));
  if (!arena.filling()) return m;
  RowPacker packer(m);
  int output = 0;
  for (const TensorView& part : parts)
    for (int row = 0; row < part.rows; row++) packer.pack(part, row, output++);
  return m;
}

} // namespace dynamo_labs::model
