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

template <int M, class Keys> inline void scoreRows(const Keys& keys, const float* q, int head_dim, float* scores, size_t stride) {
  Vec16 sums[M];
  for (int r = 0; r < M; r++) sums[r] = zero16();
  for (int i = 0; i < head_dim; i++) {
    const Vec16 key = keys.at(i);
#pragma GCC unroll 8
    for (int r = 0; r < M; r++) sums[r] = fma(broadcast16(q + r * head_dim + i), key, sums[r]);
  }
  for (int r = 0; r < M; r++) store(scores + r * stride, sums[r]);
}

template <int M, class Values> inline void weighRows(const Values& values, const float* weights, size_t stride, int head_dim, float* out) {
  for (int i = 0; i < head_dim; i += kPanel) {
    Vec16 sums[M];
    for (int r = 0; r < M; r++) sums[r] = load16(out + r * head_dim + i);
#pragma GCC unroll 16
    for (int t = 0; t < kPanel; t++) {
      const Vec16 value = values.at(t, i);
#pragma GCC unroll 8
      for (int r = 0; r < M; r++) sums[r] = fma(broadcast16(weights + r * stride + t), value, sums[r]);
    }
    for (int r = 0; r < M; r++) store(out + r * head_dim + i, sums[r]);
  }
}

/** Calls f<M>(row) for consecutive groups of at most kTileRows rows. */
template <class F> inline void inRowTiles(int begin, int end, F f) {
  int r = begin;
  for (; r + kTileRows <= end; r += kTileRows) f.template operator()<kTileRows>(r);
  switch (end - r) {
  case 1: f.template operator()<1>(r); break;
  case 2: f.template operator()<2>(r); break;
  case 3: f.template operator()<3>(r); break;
  case 4: f.template operator()<4>(r); break;
  case 5: f.template operator()<5>(r); break;
  }
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
  FloatKeys widenKeys(int tile) const {
    const int position = tile * kPanel;
    if (layout.block_tokens >= kPanel) {
      const HalfKeys keys{keysAt(position), static_cast<size_t>(layout.block_tokens)};
      for (int i = 0; i < head_dim; i++) store(tile_buffer + i * kPanel, keys.at(i));
    } else {
      for (int part = 0; part < 2; part++) {
        const bool present = position + 8 * part < task.start + task.token_end;
        const uint16_t* keys = present ? keysAt(position + 8 * part) : nullptr;
        for (int i = 0; i < head_dim; i++)
          for (int t = 0; t < 8; t++) tile_buffer[i * kPanel + 8 * part + t] = present ? halfToFloat(keys[i * 8 + t]) : 0;
      }
    }
    return {tile_buffer};
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

  template <class Keys> void scoreTile(const Keys& keys, int tile) const {
    inRowTiles(firstRow(tile), rows, [&]<int M>(int r) { scoreRows<M>(keys, q + r * head_dim, head_dim, scores + r * stride + tile * kPanel, stride); });
  }
  template <class Values> void weighTile(const Values& values, int tile) const {
    inRowTiles(firstRow(tile), rows, [&]<int M>(int r) { weighRows<M>(values, scores + r * stride + tile * kPanel, stride, head_dim, out + r * head_dim); });
  }

  void run() const {
    const bool direct = rows <= kTileRows && layout.block_tokens >= kPanel;
    const Vec8 scale = set8(1.f / __builtin_sqrtf(static_cast<float>(head_dim)));
    for (int r = 0; r < rows; r++) {
      const float* from = task.q + static_cast<size_t>(task.token_begin + r / group) * task.q_stride + (task.kv_head * group + r % group) * head_dim;
      for (int i = 0; i < head_dim; i += 8) store(q + r * head_dim + i, mul(load8(from + i), scale)), store(out + r * head_dim + i, set8(0));
    }
    for (int tile = 0; tile < tiles; tile++) {
      if (direct) scoreTile(HalfKeys{keysAt(tile * kPanel), static_cast<size_t>(layout.block_tokens)}, tile);
      else scoreTile(widenKeys(tile), tile);
    }
    // The inverse sums take the place of the queries, which are no longer needed.
    for (int r = 0; r < rows; r++) q[r] = softmaxRow(scores + r * stride, limit(r));
    for (int tile = 0; tile < tiles; tile++) {
      if (direct) weighTile(HalfValues{valuesAt(tile * kPanel), head_dim}, tile);
      else weighTile(widenValues(tile), tile);
    }
    for (int r = 0; r < rows; r++) {
      float* to = task.out + static_cast<size_t>(task.token_begin + r / group) * task.out_stride + (task.kv_head * group + r % group) * head_dim;
      for (int i = 0; i < head_dim; i += 8) store(to + i, mul(load8(out + r * head_dim + i), set8(q[r])));
    }
  }
};

inline void attention(const AttentionTask& task) { Attention{task}.run(); }
