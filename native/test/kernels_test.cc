// Every instruction set against the definition: one chain of fused multiply-adds per output, over the values ggml's reference would dequantise.
#include "model/kernels.h"

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "model/arena.h"
#include "runnable_kernels.h"
#include "util/aligned_buffer.h"
#include "util/half.h"

using namespace dynamo_labs;
using namespace dynamo_labs::model;

namespace {

std::mt19937 generator(7);
float uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(generator); }

void put16(std::vector<uint8_t>& bytes, uint16_t value) {
  bytes.push_back(static_cast<uint8_t>(value));
  bytes.push_back(static_cast<uint8_t>(value >> 8));
}

/** Random bytes of a matrix in the file's format. */
std::vector<uint8_t> randomTensor(DType type, int rows, int cols) {
  std::vector<uint8_t> bytes;
  const int groups = rows * cols / kQuantGroup;
  switch (type) {
  case DType::F32:
    for (int i = 0; i < rows * cols; i++) {
      const float value = uniform(-1, 1);
      const uint8_t* p = reinterpret_cast<const uint8_t*>(&value);
      bytes.insert(bytes.end(), p, p + 4);
    }
    break;
  case DType::F16:
    for (int i = 0; i < rows * cols; i++) put16(bytes, floatToHalf(uniform(-1, 1)));
    break;
  case DType::BF16:
    for (int i = 0; i < rows * cols; i++) put16(bytes, static_cast<uint16_t>(floatToBits(uniform(-1, 1)) >> 16));
    break;
  case DType::Q8_0:
    for (int g = 0; g < groups; g++) {
      put16(bytes, floatToHalf(uniform(0.001f, 0.1f)));
      for (int i = 0; i < 32; i++) bytes.push_back(static_cast<uint8_t>(generator()));
    }
    break;
  case DType::Q4_1:
    for (int g = 0; g < groups; g++) {
      put16(bytes, floatToHalf(uniform(0.001f, 0.1f)));
      put16(bytes, floatToHalf(uniform(-1, 0)));
      for (int i = 0; i < 16; i++) bytes.push_back(static_cast<uint8_t>(generator()));
    }
    break;
  }
  return bytes;
}

void matmulIsTheChain(DType type) {
  constexpr int kInputs = 608, kMaxRows = 29; // two slabs and a half; tiles of 6 and a rest
  for (int outputs : {16, 176, 200}) {
    const std::vector<uint8_t> bytes = randomTensor(type, outputs, kInputs);
    const TensorView view{"w", bytes.data(), type, outputs, kInputs, 0};
    Arena arena;
    pack({view}, arena);
    arena.commit();
    const PackedMatrix packed = pack({view}, arena);
    std::vector<float> x(kMaxRows * kInputs), row(kInputs), packed_row(kInputs);
    for (float& value : x) value = uniform(-2, 2);
    std::vector<float> expected(static_cast<size_t>(kMaxRows) * outputs);
    for (int n = 0; n < outputs; n++) {
      view.readRow(n, row.data());
      packed.readRow(n, packed_row.data());
      CHECK(std::memcmp(row.data(), packed_row.data(), kInputs * 4) == 0);
      for (int m = 0; m < kMaxRows; m++) {
        float sum = 0;
        for (int k = 0; k < kInputs; k++) sum = std::fmaf(x[static_cast<size_t>(m) * kInputs + k], row[k], sum);
        expected[static_cast<size_t>(m) * outputs + n] = sum;
      }
    }
    AlignedBuffer scratch;
    scratch.reserve(kMatmulScratch);
    for (const Kernels* kernels : runnable())
      for (int rows : {1, 2, 3, 4, 5, 6, 7, 12, kMaxRows}) {
        const size_t stride = static_cast<size_t>(packed.paddedOutputs());
        std::vector<float> y(rows * stride, NAN);
        kernels->matmul({&packed, 0, packed.panels(), x.data(), kInputs, rows, y.data(), stride, scratch.data()});
        for (int m = 0; m < rows; m++) CHECK(std::memcmp(&y[m * stride], &expected[static_cast<size_t>(m) * outputs], outputs * 4) == 0);
      }
  }
}

/** All implementations give what the portable one gives, and that is close to libm. */
void rowsAgree() {
  constexpr int n = 256;
  std::vector<float> x(n), y(n), weight(n);
  for (int i = 0; i < n; i++) x[i] = uniform(-30, 30), y[i] = uniform(-3, 3), weight[i] = uniform(0.5f, 1.5f);
  x[0] = -200, x[1] = 200, x[2] = 0, x[3] = -0.f;
  std::vector<std::vector<float>> results;
  for (const Kernels* kernels : runnable()) {
    std::vector<float> norm(n), sum = x, gate = x, rotated = x;
    kernels->rmsNorm(x.data(), weight.data(), norm.data(), n, 1e-5f);
    kernels->add(sum.data(), y.data(), n);
    kernels->swiGlu(gate.data(), y.data(), n);
    kernels->rotate(rotated.data(), y.data(), weight.data(), n / 2);
    const float highest = kernels->maximum(x.data(), n), total = kernels->sumExp(x.data(), n, highest);
    CHECK(highest == 200 && std::fabs(total - 1) < 1e-6f);
    for (int i = 0; i < n; i++) {
      const double silu = x[i] / (1 + std::exp(-static_cast<double>(x[i]))) * y[i];
      CHECK(std::fabs(gate[i] - silu) <= 1e-6 * std::fabs(silu) + 1e-30);
    }
    std::vector<float> all = norm;
    for (const auto* part : {&sum, &gate, &rotated}) all.insert(all.end(), part->begin(), part->end());
    all.push_back(total);
    results.push_back(all);
  }
  for (const auto& result : results) CHECK(std::memcmp(result.data(), results[0].data(), result.size() * 4) == 0);
}

/** Keys and values are stored saturated, and attention over them is equal for all implementations and block sizes. */
void attentionAgrees() {
  constexpr int kHeadDim = 48, kKvHeads = 2, kGroup = 3, kPositions = 75, kTokens = 11;
  constexpr int kKvWidth = kHeadDim * kKvHeads, kQueryWidth = kKvWidth * kGroup;
  std::vector<float> k(kPositions * kKvWidth), v(k.size()), q(kTokens * kQueryWidth);
  for (float& value : k) value = uniform(-3, 3);
  for (float& value : v) value = uniform(-3, 3);
  for (float& value : q) value = uniform(-3, 3);
  v[5] = 1e9f; // beyond f16: must saturate, not become an infinity
  std::vector<float> first;
  for (const Kernels* kernels : runnable())
    for (int block_tokens : {8, 16, 32, 64}) {
      const KvLayout layout{1, kKvHeads, kHeadDim, block_tokens};
      const int blocks = (kPositions + block_tokens - 1) / block_tokens;
      std::vector<int32_t> table(blocks);
      for (int b = 0; b < blocks; b++) table[b] = (b * 3 + 1) % blocks == b ? b : blocks - 1 - b;
      std::vector<uint16_t> pool(layout.blockElements() * blocks, floatToHalf(-7)); // stale content must not matter
      for (int t = 0; t < kPositions; t++)
        kernels->storeKv(layout, pool.data() + table[t / block_tokens] * layout.blockElements(), t % block_tokens, &k[t * kKvWidth], &v[t * kKvWidth]);
      std::vector<float> out(q.size(), NAN);
      AlignedBuffer scratch;
      scratch.reserve(attentionScratch(kTokens * kGroup, kPositions, kHeadDim));
      for (int h = 0; h < kKvHeads; h++)
        for (int begin : {0, 4, 10}) {
          const int end = begin == 0 ? 4 : begin == 4 ? 10 : kTokens;
          kernels->attention({&layout, pool.data(), 0, h, kGroup, table.data(), kPositions - kTokens, begin, end, q.data(), kQueryWidth, out.data(), kQueryWidth,
                              scratch.data()});
        }
      for (float value : out) CHECK(std::isfinite(value));
      if (first.empty()) first = out;
      CHECK(std::memcmp(out.data(), first.data(), out.size() * 4) == 0);
    }
}

} // namespace

int main() {
  for (DType type : {DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_1}) matmulIsTheChain(type);
  rowsAgree();
  attentionAgrees();
}
