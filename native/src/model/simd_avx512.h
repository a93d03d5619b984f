// Included inside the namespace of one instruction set, after <immintrin.h>. Rows keep 8 lanes, so that reductions add in the same order as elsewhere.
using Vec8 = __m256;
using Vec16 = __m512;
using Dwords = __m512i;
constexpr int kRegisters = 32;

inline Vec16 zero16() { return _mm512_setzero_ps(); }
inline Vec16 load16(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, Vec16 v) { _mm512_storeu_ps(p, v); }
inline Vec16 broadcast16(const float* p) { return _mm512_set1_ps(*p); }
inline Vec16 fma(Vec16 a, Vec16 b, Vec16 c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec16 mul(Vec16 a, Vec16 b) { return _mm512_mul_ps(a, b); }
inline Vec16 loadHalf16(const uint16_t* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
inline Vec16 loadBfloat16(const uint16_t* p) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
}
inline Dwords loadDwords(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline Vec16 nibble(Dwords d, int shift) { return _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(d, shift), _mm512_set1_epi32(15))); }
inline Vec16 signedByte(Dwords d, int index) { return _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(d, 24 - 8 * index), 24)); }

#include "simd_vec8_avx2.h"
