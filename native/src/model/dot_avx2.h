// Included inside the namespace of one instruction set, after <immintrin.h>. vpmaddubsw: pairs of products, saturated to 16 bits, which none of these sums reaches.

/** Rows of a tile: 2 registers each, beside weights read from the first-level cache. */
constexpr int kIntegerRows = 4;

inline Dwords lowNibbles(Dwords d) {
  const __m256i mask = _mm256_set1_epi8(15);
  return {_mm256_and_si256(d.lo, mask), _mm256_and_si256(d.hi, mask)};
}
inline Dwords highNibbles(Dwords d) { return lowNibbles({_mm256_srli_epi32(d.lo, 4), _mm256_srli_epi32(d.hi, 4)}); }
inline __m256i broadcastFour(const int8_t* p) {
  int four;
  __builtin_memcpy(&four, p, 4);
  return _mm256_set1_epi32(four);
}
inline __m256i pairsToDwords(__m256i pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }

/** Sums of pairs stay in 16 bits for a whole group: 8 * 2 * 15 * 127 = 30480. */
struct NibbleDot {
  static Dwords start(const int32_t*) { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  static Dwords add(Dwords sums, Dwords weights, const int8_t* x) {
    const __m256i four = broadcastFour(x);
    return {_mm256_add_epi16(sums.lo, _mm256_maddubs_epi16(weights.lo, four)), _mm256_add_epi16(sums.hi, _mm256_maddubs_epi16(weights.hi, four))};
  }
  static Vec16 toFloat(Dwords sums) { return {_mm256_cvtepi32_ps(pairsToDwords(sums.lo)), _mm256_cvtepi32_ps(pairsToDwords(sums.hi))}; }
};
/** |weight| times the activation with the weight's sign; a pair is at most 2 * 128 * 127 = 32512. */
struct SignedDot {
  static Dwords prepare(Dwords weights) { return weights; }
  static Dwords start(const int32_t*) { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  static __m256i products(__m256i weights, __m256i x) { return pairsToDwords(_mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights))); }
  static Dwords add(Dwords sums, Dwords weights, const int8_t* x) {
    const __m256i four = broadcastFour(x);
    return {_mm256_add_epi32(sums.lo, products(weights.lo, four)), _mm256_add_epi32(sums.hi, products(weights.hi, four))};
  }
  static Vec16 toFloat(Dwords sums) { return {_mm256_cvtepi32_ps(sums.lo), _mm256_cvtepi32_ps(sums.hi)}; }
};
