// Included inside the namespace of one instruction set, after <immintrin.h>. AVX-512 VNNI: four products of unsigned weights and signed activations per lane.

/** Rows of a tile: with 8 weights, 2 scales and a running sum they fill the 32 registers. */
constexpr int kIntegerRows = 16;

inline Dwords lowNibbles(Dwords d) { return _mm512_and_si512(d, _mm512_set1_epi8(15)); }
inline Dwords highNibbles(Dwords d) { return _mm512_and_si512(_mm512_srli_epi32(d, 4), _mm512_set1_epi8(15)); }
inline __m512i broadcastFour(const int8_t* p) {
  int four;
  __builtin_memcpy(&four, p, 4);
  return _mm512_set1_epi32(four);
}

struct NibbleDot {
  static __m512i start(const int32_t*) { return _mm512_setzero_si512(); }
  static __m512i add(__m512i sums, Dwords weights, const int8_t* x) { return _mm512_dpbusd_epi32(sums, weights, broadcastFour(x)); }
  static Vec16 toFloat(__m512i sums) { return _mm512_cvtepi32_ps(sums); }
};
/** Signed weights are read as unsigned ones plus 128; `offset` takes the surplus back. */
struct SignedDot : NibbleDot {
  static Dwords prepare(Dwords weights) { return _mm512_xor_si512(weights, _mm512_set1_epi8(-128)); }
  static __m512i start(const int32_t* offset) { return _mm512_set1_epi32(*offset); }
};
