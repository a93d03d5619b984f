// Included inside the namespace of one instruction set.
//
// One output is one chain over groups of 32 inputs, ascending. A group's products are summed as integers, which is exact in any order; then
//   acc = fma(float(sum), weight scale * activation scale, acc), and for weights with a minimum  acc = fma(minimum, activation's scaled sum, acc).
// Tiles only decide which chains run side by side. `Dot` is the instruction set's sum of four products per output (dot_*.h).

/** A panel's group: eight vectors of four consecutive inputs of 16 outputs, and what turns their integer sums into numbers. */
struct Q8Group {
  using Dot = SignedDot;
  static constexpr int kBytes = kQuantGroup * kPanel, kScales = kPanel;
  static constexpr bool kHasMinimum = false;
  Dwords weights[8];
  Vec16 scale, minimum;

  Q8Group(const uint8_t* data, const uint16_t* scales) : scale(loadHalf16(scales)) {
    for (int t = 0; t < 8; t++) weights[t] = Dot::prepare(loadDwords(data + t * 64));
  }
};
struct Q4Group {
  using Dot = NibbleDot;
  static constexpr int kBytes = kQuantGroup * kPanel / 2, kScales = 2 * kPanel;
  static constexpr bool kHasMinimum = true;
  Dwords weights[8];
  Vec16 scale, minimum;

  Q4Group(const uint8_t* data, const uint16_t* scales) : scale(loadHalf16(scales)), minimum(loadHalf16(scales + kPanel)) {
    for (int t = 0; t < 4; t++) {
      const Dwords pairs = loadDwords(data + t * 64);
      weights[2 * t] = lowNibbles(pairs);
      weights[2 * t + 1] = highNibbles(pairs);
    }
  }
};

/** y[0 .. M) of one panel times M rows of one tile: row `r` and those that follow it. */
template <int M, class Group> inline void multiplyGroups(const uint8_t* data, const uint16_t* scales, int groups, const QuantisedGroup* tile, int r, float* y, size_t y_stride) {
  using Dot = typename Group::Dot;
  Vec16 sums[M];
#pragma GCC unroll 16
  for (int i = 0; i < M; i++) sums[i] = zero16();
  // Two addresses; everything else is a constant away from them.
  const int8_t* x = tile->quants[r];
  const float* x_scales = tile->scales + r;
  for (int g = 0; g < groups; g++) {
    const Group w(data, scales);
    const float* x_sums = x_scales + kRowTile;
    const int32_t* x_offsets = reinterpret_cast<const int32_t*>(x_scales) + 2 * kRowTile;
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
      auto products = Dot::start(x_offsets + i);
#pragma GCC unroll 8
      for (int t = 0; t < 8; t++) products = Dot::add(products, w.weights[t], x + i * kQuantGroup + 4 * t);
      sums[i] = fma(Dot::toFloat(products), mul(w.scale, broadcast16(x_scales + i)), sums[i]);
      if constexpr (Group::kHasMinimum) sums[i] = fma(w.minimum, broadcast16(x_sums + i), sums[i]);
    }
    data += Group::kBytes;
    scales += Group::kScales;
    x += sizeof(QuantisedGroup);
    x_scales += sizeof(QuantisedGroup) / sizeof(float);
  }
#pragma GCC unroll 16
  for (int i = 0; i < M; i++) store(y + i * y_stride, sums[i]);
}

/** Rows of one tile, M at a time and a rest in halves of that, times all panels of the task. */
template <int M, class Group> inline void multiplyTileRows(const IntegerMatmulTask& task, const uint8_t* data, const uint16_t* scales, int panel, int row, int row_end) {
  const int groups = task.weights->inputs / kQuantGroup;
  for (; row + M <= row_end; row += M)
    multiplyGroups<M, Group>(data, scales, groups, task.x->tile(row), row % kRowTile, task.y + row * task.y_stride + panel * kPanel, task.y_stride);
  if constexpr (M > 1)
    if (row < row_end) multiplyTileRows<M / 2, Group>(task, data, scales, panel, row, row_end);
}

/** A few tiles of rows at a time pass over all panels: weights come from the second-level cache once per block, outputs go to few pages. */
template <class Group> void multiplyInteger(const IntegerMatmulTask& task) {
  constexpr int kBlock = 2 * kRowTile;
  const PackedMatrix& m = *task.weights;
  const size_t panel_bytes = m.panelBytes(), panel_scales = m.panelScales();
  for (int row = 0; row < task.rows; row += kBlock) {
    const int row_end = row + kBlock < task.rows ? row + kBlock : task.rows;
    for (int panel = task.panel_begin; panel < task.panel_end; panel++)
      multiplyTileRows<kIntegerRows, Group>(task, m.data + panel * panel_bytes, m.scales + panel * panel_scales, panel, row, row_end);
  }
}

inline void matmulInteger(const IntegerMatmulTask& task) {
  if (task.weights->storage == DType::Q4_1) multiplyInteger<Q4Group>(task);
  else multiplyInteger<Q8Group>(task);
}
