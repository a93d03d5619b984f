// Included inside the namespace of one instruction set.
//
// Positions are visited in tiles of 16, a row sees exactly the tiles up to its own position, and each score, weight sum and output element is one chain
// over ascending positions: neither the block size nor the rows beside it change a row's bits.

/** 16 keys of one KV head: vector i holds element i of the 16 positions. */
struct HalfKeys {
  const uint16_t* data;
  size_t stride;
  Vec16 at(int i) const { return loadHalf16(data + i * stride); }
};
struct FloatKeys {
  const float* data;
  Vec16 at(int i) const { return load16(data + i * kPanel); }
};
/** 16 values of one KV head: `at(t, i)` holds elements i..i+15 of position t. */
struct HalfValues {
  const uint16_t* data;
  int head_dim;
  Vec16 at(int t, int i) const { return loadHalf16(data + t * head_dim + i); }
};
struct FloatValues {
  const float* data;
  int head_dim;
  Vec16 at(int t, int i) const { return load16(data + t * head_dim + i); }
};

/** Rows of queries that a tile multiplies at once; few enough rows leave registers for more tiles of positions side by side. */
constexpr int kQueryRows = kRegisters == 32 ? 12 : 6;
constexpr int kFewQueryRows = 3;
/** Tiles of positions that are scored side by side. */
constexpr int kFewRowsTiles = kRegisters == 32 ? 4 : 2;
constexpr int kManyRowsTiles = kRegisters == 32 ? 2 : 1;
/** Tiles of values that are on their way from memory. */
constexpr int kTilesAhead = 4;
/** Vectors of the output that are summed side by side. */
constexpr int outputVectors(int rows) { return rows <= kFewQueryRows ? kFewRowsTiles : rows * 2 * (32 / kRegisters) <= kRegisters * 3 / 4 ? 2 : 1; }

/** Scores of M rows against N consecutive tiles of keys. */
template <int M, int N, class Keys> inline void scoreRows(const Keys (&keys)[N], const float* q, int head_dim, float* scores, size_t stride) {
  Vec16 sums[M][N];
#pragma GCC unroll 16
  for (int r = 0; r < M; r++)
    for (int j = 0; j < N; j++) sums[r][j] = zero16();
  for (int i = 0; i < head_dim; i++) {
    Vec16 key[N];
#pragma GCC unroll 4
    for (int j = 0; j < N; j++) key[j] = keys[j].at(i);
#pragma GCC unroll 16
    for (int r = 0; r < M; r++) {
      const Vec16 query = broadcast16(q + r * head_dim + i);
#pragma GCC unroll 4
      for (int j = 0; j < N; j++) sums[r][j] = fma(query, key[j], sums[r][j]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < M; r++)
    for (int j = 0; j < N; j++) store(scores + r * stride + j * kPanel, sums[r][j]);
}

/** Adds one tile of values, weighted, to the outputs of M rows: C vectors at a time from element `i`. */
template <int M, int C, class Values> inline void weighRows(const Values& values, const float* weights, size_t stride, int head_dim, float* out, int i) {
  for (; i + C * kPanel <= head_dim; i += C * kPanel) {
    Vec16 sums[M][C];
#pragma GCC unroll 16
    for (int r = 0; r < M; r++)
      for (int c = 0; c < C; c++) sums[r][c] = load16(out + r * head_dim + i + c * kPanel);
#pragma GCC unroll 2
    for (int t = 0; t < kPanel; t++) {
      Vec16 value[C];
#pragma GCC unroll 4
      for (int c = 0; c < C; c++) value[c] = values.at(t, i + c * kPanel);
#pragma GCC unroll 16
      for (int r = 0; r < M; r++) {
        const Vec16 weight = broadcast16(weights + r * stride + t);
#pragma GCC unroll 4
        for (int c = 0; c < C; c++) sums[r][c] = fma(weight, value[c], sums[r][c]);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < M; r++)
      for (int c = 0; c < C; c++) store(out + r * head_dim + i + c * kPanel, sums[r][c]);
  }
  if constexpr (C > 1)
    if (i < head_dim) weighRows<M, C / 2>(values, weights, stride, head_dim, out, i);
}

/** Calls f<M>(row) for consecutive groups of M rows, M as large as fits. */
template <int M, class F> inline void inRowTiles(int row, int end, F f) {
  for (; row + M <= end; row += M) f.template operator()<M>(row);
  if constexpr (M > 1)
    if (row < end) inRowTiles<M % 2 == 0 ? M / 2 : M - 1>(row, end, f);
}

/** Rows of scores become exp(score - max); returns 1 / sum. Scores from `limit` to the end of its tile become 0. */
inline float softmaxRow(float* row, int limit) {
  const int padded = (limit + kPanel - 1) / kPanel * kPanel;
  for (int i = limit; i < padded; i++) row[i] = -1e30f;
  const float highest = maximum(row, padded);
  Vec8 sum = set8(0);
  for (int i = 0; i < padded; i += 8) {
    const Vec8 score = load8(row + i), weight = where(exp8(sub(score, set8(highest))), score, set8(-1e29f));
    sum = add(sum, weight);
    store(row + i, weight);
  }
  return 1.f / sumLanes(sum);
}

struct Attention {
  const AttentionTask& task;
  const KvLayout& layout = *task.layout;
  const int head_dim = layout.head_dim, group = task.heads_per_kv_head;
  const int rows = (task.token_end - task.token_begin) * group;
  const int first_position = task.start + task.token_begin;
  const int tiles = (task.start + task.token_end + kPanel - 1) / kPanel;
  const size_t stride = static_cast<size_t>(tiles) * kPanel;
  float* const scores = task.scratch;
  float* const q = scores + rows * stride;
  float* const out = q + rows * head_dim;
  float* const tile_buffer = out + rows * head_dim;

  int limit(int row) const { return first_position + row / group + 1; }
  /** First row that sees any position of `tile`; rows are in order of position. */
  int firstRow(int tile) const {
    const int tokens_before = tile * kPanel - first_position;
    return tokens_before > 0 ? tokens_before * group : 0;
  }
  const uint16_t* blockLayer(int position) const {
    return task.pool + static_cast<size_t>(task.block_table[position / layout.block_tokens]) * layout.blockElements() + task.layer * layout.layerElements();
  }
  const uint16_t* keysAt(int position) const { return blockLayer(position) + static_cast<size_t>(task.kv_head) * head_dim * layout.block_tokens + position % layout.block_tokens; }
  const uint16_t* valuesAt(int position) const {
    return blockLayer(position) + layout.keyElements() + (static_cast<size_t>(task.kv_head) * layout.block_tokens + position % layout.block_tokens) * head_dim;
  }

  /** Widens a tile to f32 when several row groups share it, or joins two blocks of 8. Positions without a block become 0. */
  FloatKeys widenKeys(int tile, float* to) const {
    const int position = tile * kPanel;
    if (layout.block_tokens >= kPanel) {
      const HalfKeys keys{keysAt(position), static_cast<size_t>(layout.block_tokens)};
      for (int i = 0; i < head_dim; i++) store(to + i * kPanel, keys.at(i));
    } else {
      for (int part = 0; part < 2; part++) {
        const bool present = position + 8 * part < task.start + task.token_end;
        const uint16_t* keys = present ? keysAt(position + 8 * part) : nullptr;
        for (int i = 0; i < head_dim; i++)
          for (int t = 0; t < 8; t++) to[i * kPanel + 8 * part + t] = present ? halfToFloat(keys[i * 8 + t]) : 0;
      }
    }
    return {to};
  }
  FloatValues widenValues(int tile) const {
    const int part_tokens = layout.block_tokens < kPanel ? layout.block_tokens : kPanel;
    for (int t = 0; t < kPanel; t += part_tokens) {
      float* to = tile_buffer + t * head_dim;
      const int position = tile * kPanel + t;
      if (position < task.start + task.token_end) {
        const uint16_t* values = valuesAt(position);
        for (int i = 0; i < part_tokens * head_dim; i += kPanel) store(to + i, loadHalf16(values + i));
      } else {
        for (int i = 0; i < part_tokens * head_dim; i += kPanel) store(to + i, zero16());
      }
    }
    return {tile_buffer, head_dim};
  }

  /** Blocks lie far apart: the processor does not guess the next one. */
  void prefetchTile(const uint16_t* from) const {
    if (layout.block_tokens > kPanel) return; // a tile is a part of every row of a larger block; those are fetched in order
    for (int i = 0; i < kPanel * head_dim; i += 32) __builtin_prefetch(from + i);
  }

  /** Rows that do not see all of the tiles get scores there too; softmaxRow replaces them. */
  template <int N, int Rows, class Keys> void scoreTiles(const Keys (&keys)[N], int tile) const {
    inRowTiles<Rows>(firstRow(tile), rows, [&]<int M>(int r) { scoreRows<M, N>(keys, q + r * head_dim, head_dim, scores + r * stride + tile * kPanel, stride); });
  }
  template <int Rows, class Values> void weighTile(const Values& values, int tile) const {
    inRowTiles<Rows>(firstRow(tile), rows,
                     [&]<int M>(int r) { weighRows<M, outputVectors(M)>(values, scores + r * stride + tile * kPanel, stride, head_dim, out + r * head_dim, 0); });
  }

  /** Scores from `tile` on, N tiles side by side and a rest in halves of that. */
  template <int N> void scoreDirectly(int tile) const {
    for (; tile + N <= tiles; tile += N) {
      HalfKeys keys[N];
      for (int j = 0; j < N; j++) {
        keys[j] = {keysAt((tile + j) * kPanel), static_cast<size_t>(layout.block_tokens)};
        if (tile + j + N < tiles) prefetchTile(keysAt((tile + j + N) * kPanel));
      }
      scoreTiles<N, kFewQueryRows>(keys, tile);
    }
    if constexpr (N > 1)
      if (tile < tiles) scoreDirectly<N / 2>(tile);
  }
  template <int N> void scoreWidened(int tile) const {
    for (; tile + N <= tiles; tile += N) {
      FloatKeys keys[N];
      for (int j = 0; j < N; j++) keys[j] = widenKeys(tile + j, tile_buffer + static_cast<size_t>(j) * kPanel * head_dim);
      scoreTiles<N, kQueryRows>(keys, tile);
    }
    if constexpr (N > 1)
      if (tile < tiles) scoreWidened<N / 2>(tile);
  }

  void run() const {
    const bool direct = rows <= 2 * kFewQueryRows && layout.block_tokens >= kPanel;
    const Vec8 scale = set8(1.f / __builtin_sqrtf(static_cast<float>(head_dim)));
    for (int r = 0; r < rows; r++) {
      const float* from = task.q + static_cast<size_t>(task.token_begin + r / group) * task.q_stride + (task.kv_head * group + r % group) * head_dim;
      for (int i = 0; i < head_dim; i += 8) store(q + r * head_dim + i, mul(load8(from + i), scale)), store(out + r * head_dim + i, set8(0));
    }
    if (direct) scoreDirectly<kFewRowsTiles>(0);
    else scoreWidened<kManyRowsTiles>(0);
    for (int tile = 0; direct && tile < tiles && tile < kTilesAhead; tile++) prefetchTile(valuesAt(tile * kPanel));
    // The inverse sums take the place of the queries, which are no longer needed.
    for (int r = 0; r < rows; r++) q[r] = softmaxRow(scores + r * stride, limit(r));
    for (int tile = 0; tile < tiles; tile++) {
      if (direct) {
        if (tile + kTilesAhead < tiles) prefetchTile(valuesAt((tile + kTilesAhead) * kPanel));
        weighTile<kFewQueryRows>(HalfValues{valuesAt(tile * kPanel), head_dim}, tile);
      } else {
        weighTile<kQueryRows>(widenValues(tile), tile);
      }
    }
    for (int r = 0; r < rows; r++) {
      float* to = task.out + static_cast<size_t>(task.token_begin + r / group) * task.out_stride + (task.kv_head * group + r % group) * head_dim;
      for (int i = 0; i < head_dim; i += 8) store(to + i, mul(load8(out + r * head_dim + i), set8(q[r])));
    }
  }
};

inline void attention(const AttentionTask& task) { Attention{task}.run(); }
