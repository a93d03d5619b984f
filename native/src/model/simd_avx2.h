// Included inside the namespace of one instruction set, after <immintrin.h>.
using Vec8 = __m256;
struct Vec16 {
  __m256 lo, hi;
};
struct Dwords {
  __m256i lo, hi;
};
constexpr int kRegisters = 16;

inline Vec16 zero16() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline Vec16 load16(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, Vec16 v) {
  _mm256_storeu_ps(p, v.lo);
  _mm256_storeu_ps(p + 8, v.hi);
}
inline Vec16 broadcast16(const float* p) {
  const __m256 x = _mm256_broadcast_ss(p);
  return {x, x};
}
inline Vec16 fma(Vec16 a, Vec16 b, Vec16 c) { return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)}; }
inline Vec16 mul(Vec16 a, Vec16 b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline __m256 half8(const uint16_t* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
inline Vec16 loadHalf16(const uint16_t* p) { return {half8(p), half8(p + 8)}; }
inline __m256 bfloat8(const uint16_t* p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16));
}
inline Vec16 loadBfloat16(const uint16_t* p) { return {bfloat8(p), bfloat8(p + 8)}; }
inline Dwords loadDwords(const uint8_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
}
inline __m256 nibble8(__m256i v, int shift) { return _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(v, shift), _mm256_set1_epi32(15))); }
inline Vec16 nibble(Dwords d, int shift) { return {nibble8(d.lo, shift), nibble8(d.hi, shift)}; }
inline __m256 signedByte8(__m256i v, int index) { return _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(v, 24 - 8 * index), 24)); }
inline Vec16 signedByte(Dwords d, int index) { return {signedByte8(d.lo, index), signedByte8(d.hi, index)}; }

#include "simd_vec8_avx2.h"
