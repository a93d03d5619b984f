// Included inside the namespace of one instruction set.
//
// One output is one chain: acc = fma(x[k], w[k], acc) for k ascending. Tiles only decide which chains run side by side.

/** Rows of x that a tile multiplies at once. */
constexpr int kTileRows = 6;

/** A panel's weights as vectors of 16 outputs: `load` fetches kStep inputs, `value(raw, t)` is the t-th of them. */
struct FloatPanel {
  static constexpr int kStep = 4;
  const float* data;
  using Raw = const float*;
  static FloatPanel at(const PackedMatrix& m, int panel) { return {reinterpret_cast<const float*>(m.data + panel * m.panelBytes())}; }
  Raw load(int k) const { return data + k * kPanel; }
  Vec16 value(Raw raw, int t) const { return load16(raw + t * kPanel); }
};
template <bool Bfloat> struct HalfPanel {
  static constexpr int kStep = 4;
  const uint16_t* data;
  using Raw = const uint16_t*;
  static HalfPanel at(const PackedMatrix& m, int panel) { return {reinterpret_cast<const uint16_t*>(m.data + panel * m.panelBytes())}; }
  Raw load(int k) const { return data + k * kPanel; }
  Vec16 value(Raw raw, int t) const { return Bfloat ? loadBfloat16(raw + t * kPanel) : loadHalf16(raw + t * kPanel); }
};
struct Q8Panel {
  static constexpr int kStep = 4;
  const uint8_t* data;
  const uint16_t* scales;
  struct Raw {
    Dwords quants;
    Vec16 scale;
  };
  static Q8Panel at(const PackedMatrix& m, int panel) { return {m.data + panel * m.panelBytes(), m.scales + panel * m.panelScales()}; }
  Raw load(int k) const { return {loadDwords(data + k * kPanel), loadHalf16(scales + k / kQuantGroup * kPanel)}; }
  Vec16 value(const Raw& raw, int t) const { return mul(signedByte(raw.quants, t), raw.scale); }
};
struct Q4Panel {
  static constexpr int kStep = 8;
  const uint8_t* data;
  const uint16_t* scales;
  struct Raw {
    Dwords quants;
    Vec16 scale, minimum;
  };
  static Q4Panel at(const PackedMatrix& m, int panel) { return {m.data + panel * m.panelBytes(), m.scales + panel * m.panelScales()}; }
  Raw load(int k) const {
    const uint16_t* group = scales + k / kQuantGroup * 2 * kPanel;
    return {loadDwords(data + k / 2 * kPanel), loadHalf16(group), loadHalf16(group + kPanel)};
  }
  Vec16 value(const Raw& raw, int t) const { return fma(nibble(raw.quants, t < 4 ? 8 * t : 8 * t - 28), raw.scale, raw.minimum); }
};

/** y[0..M)[0..16*N) (+)= x[0..M)[k_begin..k_end) * panels */
template <int M, int N, class Panel>
inline void multiplyTile(const Panel (&panels)[N], int k_begin, int k_end, const float* x, size_t x_stride, float* y, size_t y_stride, bool accumulate) {
  Vec16 sums[M][N];
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++) sums[i][j] = accumulate ? load16(y + i * y_stride + j * kPanel) : zero16();
  for (int k = k_begin; k < k_end; k += Panel::kStep)
#pragma GCC unroll 8
    for (int j = 0; j < N; j++) {
      const auto raw = panels[j].load(k);
#pragma GCC unroll 8
      for (int t = 0; t < Panel::kStep; t++) {
        const Vec16 w = panels[j].value(raw, t);
#pragma GCC unroll 8
        for (int i = 0; i < M; i++) sums[i][j] = fma(broadcast16(x + i * x_stride + k + t), w, sums[i][j]);
      }
    }
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++) store(y + i * y_stride + j * kPanel, sums[i][j]);
}

/** Panels side by side in a tile of M rows: enough chains to hide the latency of fma, few enough to stay in registers. */
constexpr int tilePanels(int rows) {
  if (kRegisters == 32) return rows == 1 ? 8 : 4;
  return rows == 1 ? 4 : rows == 2 ? 2 : 1;
}

/** Few rows: weights are unpacked in registers, once. */
template <int M, int N, class Panel> void multiplyFewRows(const MatmulTask& task, int panel) {
  for (; panel + N <= task.panel_end; panel += N) {
    Panel panels[N];
    for (int j = 0; j < N; j++) panels[j] = Panel::at(*task.weights, panel + j);
    multiplyTile<M, N>(panels, 0, task.weights->inputs, task.x, task.x_stride, task.y + panel * kPanel, task.y_stride, false);
  }
  if constexpr (N > 1) multiplyFewRows<M, N / 2, Panel>(task, panel);
}

template <class Panel> void unpack(const Panel& panel, int k_begin, int k_end, float* out) {
  for (int k = k_begin; k < k_end; k += Panel::kStep) {
    const auto raw = panel.load(k);
#pragma GCC unroll 8
    for (int t = 0; t < Panel::kStep; t++, out += kPanel) store(out, panel.value(raw, t));
  }
}

template <int N> void multiplyUnpacked(const FloatPanel (&panels)[N], int inputs, int rows, const float* x, size_t x_stride, float* y, size_t y_stride, bool accumulate) {
  int m = 0;
  for (; m + kTileRows <= rows; m += kTileRows) multiplyTile<kTileRows, N>(panels, 0, inputs, x + m * x_stride, x_stride, y + m * y_stride, y_stride, accumulate);
  x += m * x_stride;
  y += m * y_stride;
  switch (rows - m) {
  case 1: multiplyTile<1, N>(panels, 0, inputs, x, x_stride, y, y_stride, accumulate); break;
  case 2: multiplyTile<2, N>(panels, 0, inputs, x, x_stride, y, y_stride, accumulate); break;
  case 3: multiplyTile<3, N>(panels, 0, inputs, x, x_stride, y, y_stride, accumulate); break;
  case 4: multiplyTile<4, N>(panels, 0, inputs, x, x_stride, y, y_stride, accumulate); break;
  case 5: multiplyTile<5, N>(panels, 0, inputs, x, x_stride, y, y_stride, accumulate); break;
  }
}

/** Many rows: a slab of a few panels is unpacked to f32 once and multiplied with every row while it is in the cache. */
template <int N, class Panel> void multiplyManyRows(const MatmulTask& task, int panel) {
  constexpr int kSlab = 256;
  static_assert(N * kSlab * kPanel <= static_cast<int>(kMatmulScratch));
  const int inputs = task.weights->inputs;
  for (; panel + N <= task.panel_end; panel += N)
    for (int k = 0; k < inputs; k += kSlab) {
      const int count = inputs - k < kSlab ? inputs - k : kSlab;
      FloatPanel slab[N];
      for (int j = 0; j < N; j++) {
        float* unpacked = task.scratch + static_cast<size_t>(j) * kSlab * kPanel;
        unpack(Panel::at(*task.weights, panel + j), k, k + count, unpacked);
        slab[j] = {unpacked};
      }
      multiplyUnpacked<N>(slab, count, task.rows, task.x + k, task.x_stride, task.y + panel * kPanel, task.y_stride, k > 0);
    }
  if constexpr (N > 1) multiplyManyRows<N / 2, Panel>(task, panel);
}

template <class Panel> void multiply(const MatmulTask& task) {
  switch (task.rows) {
  case 1: multiplyFewRows<1, tilePanels(1), Panel>(task, task.panel_begin); return;
  case 2: multiplyFewRows<2, tilePanels(2), Panel>(task, task.panel_begin); return;
  case 3: multiplyFewRows<3, tilePanels(3), Panel>(task, task.panel_begin); return;
  case 4: multiplyFewRows<4, tilePanels(4), Panel>(task, task.panel_begin); return;
  case 5: multiplyFewRows<5, tilePanels(5), Panel>(task, task.panel_begin); return;
  case 6: multiplyFewRows<6, tilePanels(6), Panel>(task, task.panel_begin); return;
  default: multiplyManyRows<tilePanels(6), Panel>(task, task.panel_begin); return;
  }
}

inline void matmul(const MatmulTask& task) {
  switch (task.weights->storage) {
  case DType::F32: multiply<FloatPanel>(task); return;
  case DType::F16: multiply<HalfPanel<false>>(task); return;
  case DType::BF16: multiply<HalfPanel<true>>(task); return;
  case DType::Q8_0: multiply<Q8Panel>(task); return;
  case DType::Q4_1: multiply<Q4Panel>(task); return;
  }
}
