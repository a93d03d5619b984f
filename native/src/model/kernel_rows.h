// Included inside the namespace of one instruction set. Operations on single rows; n is a multiple of 8.

/** Lanes are added pairwise: (0+4)+(2+6) and (1+5)+(3+7), then those two. */
inline float sumLanes(Vec8 v) {
  float x[8];
  store(x, v);
  return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
}

inline float maxLanes(Vec8 v) {
  float x[8];
  store(x, v);
  float m = x[0];
  for (int i = 1; i < 8; i++) m = x[i] > m ? x[i] : m;
  return m;
}

/** exp by Cephes' polynomial, relative error about 2e-7; clamped to the range of normal numbers. */
inline Vec8 exp8(Vec8 x) {
  x = max(min(x, set8(88.37f)), set8(-87.33f));
  const Vec8 whole = roundEven(mul(x, set8(1.44269504088896341f)));
  x = fnma(whole, set8(0.693359375f), x);
  x = fnma(whole, set8(-2.12194440e-4f), x);
  Vec8 y = set8(1.9875691500e-4f);
  y = fma(y, x, set8(1.3981999507e-3f));
  y = fma(y, x, set8(8.3334519073e-3f));
  y = fma(y, x, set8(4.1665795894e-2f));
  y = fma(y, x, set8(1.6666665459e-1f));
  y = fma(y, x, set8(5.0000001201e-1f));
  y = fma(y, mul(x, x), add(x, set8(1.f)));
  return mul(y, powerOfTwo(whole));
}

inline void rmsNorm(const float* x, const float* weight, float* y, int n, float eps) {
  Vec8 squares = set8(0);
  for (int i = 0; i < n; i += 8) squares = fma(load8(x + i), load8(x + i), squares);
  const Vec8 scale = set8(1.f / __builtin_sqrtf(sumLanes(squares) / static_cast<float>(n) + eps));
  for (int i = 0; i < n; i += 8) store(y + i, mul(mul(load8(x + i), scale), load8(weight + i)));
}

inline void addInPlace(float* x, const float* y, int n) {
  for (int i = 0; i < n; i += 8) store(x + i, add(load8(x + i), load8(y + i)));
}

inline void rotate(float* head, const float* cosines, const float* sines, int half) {
  for (int i = 0; i < half; i += 8) {
    const Vec8 a = load8(head + i), b = load8(head + half + i), c = load8(cosines + i), s = load8(sines + i);
    store(head + i, fms(a, c, mul(b, s)));
    store(head + half + i, fma(a, s, mul(b, c)));
  }
}

inline void swiGlu(float* gate, const float* up, int n) {
  for (int i = 0; i < n; i += 8) {
    const Vec8 g = load8(gate + i);
    const Vec8 silu = div(g, add(set8(1.f), exp8(sub(set8(0), g))));
    store(gate + i, mul(silu, load8(up + i)));
  }
}

inline float maximum(const float* x, int n) {
  Vec8 m = load8(x);
  for (int i = 8; i < n; i += 8) m = max(m, load8(x + i));
  return maxLanes(m);
}

inline float sumExp(const float* x, int n, float max) {
  Vec8 sum = set8(0);
  for (int i = 0; i < n; i += 8) {
    const Vec8 v = load8(x + i);
    sum = add(sum, where(exp8(sub(v, set8(max))), v, set8(-1e29f)));
  }
  return sumLanes(sum);
}

inline void storeKv(const KvLayout& layout, uint16_t* block_layer, int slot, const float* k, const float* v) {
  const Vec8 largest = set8(65504.f), smallest = set8(-65504.f);
  const int head_dim = layout.head_dim, tokens = layout.block_tokens;
  uint16_t* values = block_layer + layout.keyElements();
  for (int h = 0; h < layout.kv_heads; h++)
    for (int i = 0; i < head_dim; i += 8) {
      uint16_t key[8];
      storeHalf8(key, max(min(load8(k + h * head_dim + i), largest), smallest));
      for (int j = 0; j < 8; j++) block_layer[(static_cast<size_t>(h) * head_dim + i + j) * tokens + slot] = key[j];
      storeHalf8(values + (static_cast<size_t>(h) * tokens + slot) * head_dim + i, max(min(load8(v + h * head_dim + i), largest), smallest));
    }
}
