// The integer kernels of every instruction set against their definition: exact sums per group of 32, then one chain of fused multiply-adds over the groups.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "check.h"
#include "model/arena.h"
#include "model/kernels.h"
#include "runnable_kernels.h"
#include "util/half.h"

using namespace dynamo_labs;
using namespace dynamo_labs::model;

namespace {

std::mt19937 generator(11);
float uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(generator); }

/** One quantised matrix, in the file's format and as plain numbers. */
struct Weights {
  int outputs, inputs;
  DType type;
  std::vector<uint8_t> bytes;
  std::vector<int> quants;
  std::vector<float> scales, minima; ///< per output and group

  Weights(DType type, int outputs, int inputs) : outputs(outputs), inputs(inputs), type(type) {
    for (int g = 0; g < outputs * inputs / kQuantGroup; g++) {
      const uint16_t scale = floatToHalf(uniform(0.001f, 0.1f)), minimum = floatToHalf(uniform(-1, 0));
      scales.push_back(halfToFloat(scale));
      minima.push_back(type == DType::Q4_1 ? halfToFloat(minimum) : 0);
      put(scale);
      const size_t first = quants.size();
      for (int i = 0; i < kQuantGroup; i++) quants.push_back(random());
      if (type == DType::Q4_1) {
        put(minimum);
        for (int j = 0; j < 16; j++) bytes.push_back(static_cast<uint8_t>(quants[first + j] | quants[first + j + 16] << 4));
      } else {
        for (int i = 0; i < kQuantGroup; i++) bytes.push_back(static_cast<uint8_t>(quants[first + i]));
      }
    }
  }
  TensorView view() const { return {"w", bytes.data(), type, outputs, inputs, 0}; }

private:
  /** The extremes come up often: they are what a narrow accumulator would overflow at. */
  int random() {
    const int kind = static_cast<int>(generator() % 4), any = static_cast<int>(generator());
    if (type == DType::Q4_1) return kind < 2 ? 15 : any & 15;
    return kind == 0 ? -128 : kind == 1 ? 127 : static_cast<int8_t>(any);
  }
  void put(uint16_t value) { bytes.push_back(static_cast<uint8_t>(value)), bytes.push_back(static_cast<uint8_t>(value >> 8)); }
};

struct Group {
  int quants[kQuantGroup];
  float scale, scaled_sum;
};

Group quantised(const float* x) {
  float largest = 0;
  for (int i = 0; i < kQuantGroup; i++) largest = std::fmax(largest, std::fabs(x[i]));
  Group group{{}, largest * (1.f / 127.f), 0};
  int sum = 0;
  for (int i = 0; i < kQuantGroup; i++) {
    group.quants[i] = largest > 0 ? static_cast<int>(std::nearbyintf(x[i] * (127.f / largest))) : 0;
    CHECK(std::abs(group.quants[i]) <= 127);
    sum += group.quants[i];
  }
  group.scaled_sum = group.scale * static_cast<float>(sum);
  return group;
}

float definition(const Weights& w, int output, const float* x) {
  float sum = 0;
  for (int g = 0; g < w.inputs / kQuantGroup; g++) {
    const Group group = quantised(x + g * kQuantGroup);
    const size_t at = static_cast<size_t>(output) * w.inputs + g * kQuantGroup, of = static_cast<size_t>(output) * w.inputs / kQuantGroup + g;
    int products = 0;
    for (int i = 0; i < kQuantGroup; i++) products += w.quants[at + i] * group.quants[i];
    sum = std::fmaf(static_cast<float>(products), w.scales[of] * group.scale, sum);
    if (w.type == DType::Q4_1) sum = std::fmaf(w.minima[of], group.scaled_sum, sum);
  }
  return sum;
}

std::vector<float> product(const Kernels& kernels, const PackedMatrix& weights, const std::vector<float>& x, int first_row, int rows) {
  QuantisedRows quantised;
  quantised.reserve(rows, weights.inputs);
  for (int row = 0; row < rows; row++)
    kernels.quantiseRow(&x[static_cast<size_t>(first_row + row) * weights.inputs], quantised.groups(), quantised.tile(row), row);
  const size_t stride = static_cast<size_t>(weights.paddedOutputs());
  std::vector<float> y(rows * stride, NAN);
  // In two parts, as two threads would share it.
  const int half = weights.panels() / 2;
  for (const auto& [begin, end] : {std::pair(0, half), std::pair(half, weights.panels())})
    kernels.matmulInteger({&weights, begin, end, &quantised, rows, y.data(), stride});
  return y;
}

PackedMatrix packed(const Weights& weights, Arena& arena) {
  pack({weights.view()}, arena);
  arena.commit();
  return pack({weights.view()}, arena);
}

void matmulIsTheDefinition(DType type) {
  constexpr int kInputs = 608, kRows = 61; // two blocks of rows, the second with a rest of every size
  for (int outputs : {16, 88, 200}) {
    const Weights weights(type, outputs, kInputs);
    Arena arena;
    const PackedMatrix matrix = packed(weights, arena);
    std::vector<float> x(kRows * kInputs);
    for (float& value : x) value = generator() % 16 ? uniform(-2, 2) : uniform(-40, 40);
    std::fill_n(&x[5 * kInputs + 32], 32, 0.f);
    std::fill_n(&x[6 * kInputs], kInputs, 1.f); // every quant at its largest
    std::vector<float> expected(static_cast<size_t>(kRows) * outputs);
    for (int row = 0; row < kRows; row++)
      for (int n = 0; n < outputs; n++) expected[static_cast<size_t>(row) * outputs + n] = definition(weights, n, &x[static_cast<size_t>(row) * kInputs]);
    for (const Kernels* kernels : runnable())
      for (int rows : {1, 2, 3, 7, 16, 17, 31, 33, kRows}) {
        const int first = kRows - rows;
        const std::vector<float> y = product(*kernels, matrix, x, first, rows);
        for (int row = 0; row < rows; row++)
          CHECK(std::memcmp(&y[static_cast<size_t>(row) * matrix.paddedOutputs()], &expected[static_cast<size_t>(first + row) * outputs], outputs * 4) == 0);
      }
  }
}

/** Close to the float kernels: the error of 8-bit activations, not more. */
void closeToTheFloatPath(DType type) {
  constexpr int kInputs = 576, kOutputs = 64;
  const Weights weights(type, kOutputs, kInputs);
  Arena arena;
  const PackedMatrix matrix = packed(weights, arena);
  std::vector<float> x(kInputs), row(kInputs);
  for (float& value : x) value = uniform(-2, 2);
  const std::vector<float> y = product(selectKernels("auto"), matrix, x, 0, 1);
  for (int n = 0; n < kOutputs; n++) {
    weights.view().readRow(n, row.data());
    double exact = 0, magnitude = 0;
    for (int k = 0; k < kInputs; k++) exact += static_cast<double>(x[k]) * row[k], magnitude += std::fabs(static_cast<double>(x[k]) * row[k]);
    CHECK(std::fabs(y[n] - exact) <= 0.005 * magnitude);
  }
}

/** A NaN or an infinity must reach the output, where the engine looks for it. */
void lossesAreNotHidden() {
  const Weights weights(DType::Q4_1, 16, 64);
  Arena arena;
  const PackedMatrix matrix = packed(weights, arena);
  for (const Kernels* kernels : runnable())
    for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
      std::vector<float> x(64, 1.f);
      x[40] = bad;
      for (float value : product(*kernels, matrix, x, 0, 1)) CHECK(!std::isfinite(value));
    }
  std::vector<float> tiny(64, 1e-38f);
  for (float value : product(selectKernels("auto"), matrix, tiny, 0, 1)) CHECK(std::fabs(value) < 1e-30f);
}

} // namespace

int main() {
  for (DType type : {DType::Q8_0, DType::Q4_1}) {
    matmulIsTheDefinition(type);
    closeToTheFloatPath(type);
  }
  lossesAreNotHidden();
}
