// Included inside the namespace of one instruction set, after Vec8 is __m256.
inline Vec8 set8(float x) { return _mm256_set1_ps(x); }
inline Vec8 load8(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, Vec8 v) { _mm256_storeu_ps(p, v); }
inline Vec8 add(Vec8 a, Vec8 b) { return _mm256_add_ps(a, b); }
inline Vec8 sub(Vec8 a, Vec8 b) { return _mm256_sub_ps(a, b); }
inline Vec8 mul(Vec8 a, Vec8 b) { return _mm256_mul_ps(a, b); }
inline Vec8 div(Vec8 a, Vec8 b) { return _mm256_div_ps(a, b); }
inline Vec8 fma(Vec8 a, Vec8 b, Vec8 c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec8 fms(Vec8 a, Vec8 b, Vec8 c) { return _mm256_fmsub_ps(a, b, c); }
inline Vec8 fnma(Vec8 a, Vec8 b, Vec8 c) { return _mm256_fnmadd_ps(a, b, c); }
inline Vec8 min(Vec8 a, Vec8 b) { return _mm256_min_ps(a, b); }
inline Vec8 max(Vec8 a, Vec8 b) { return _mm256_max_ps(a, b); }
inline Vec8 roundEven(Vec8 a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline Vec8 powerOfTwo(Vec8 whole) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127)), 23)); }
/** value where x > threshold, else 0 */
inline Vec8 where(Vec8 value, Vec8 x, Vec8 threshold) { return _mm256_and_ps(value, _mm256_cmp_ps(x, threshold, _CMP_GT_OQ)); }
inline void storeHalf8(uint16_t* p, Vec8 v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT)); }
