// Included inside the namespace of one instruction set. Plain loops over lanes with fused multiply-add: NEON on arm64, SSE2 (and libm's fmaf) on old x86.
struct Vec8 {
  float lane[8];
};
struct Vec16 {
  float lane[16];
};
struct Dwords {
  uint32_t lane[16];
};
constexpr int kRegisters = 16;

template <class V, class F> inline V each(F f) {
  V r;
  for (int i = 0; i < static_cast<int>(sizeof(V) / 4); i++) r.lane[i] = f(i);
  return r;
}

inline Vec16 zero16() { return each<Vec16>([](int) { return 0.f; }); }
inline Vec16 load16(const float* p) { return each<Vec16>([=](int i) { return p[i]; }); }
inline void store(float* p, Vec16 v) {
  for (int i = 0; i < 16; i++) p[i] = v.lane[i];
}
inline Vec16 broadcast16(const float* p) { return each<Vec16>([x = *p](int) { return x; }); }
inline Vec16 fma(Vec16 a, Vec16 b, Vec16 c) { return each<Vec16>([&](int i) { return __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]); }); }
inline Vec16 mul(Vec16 a, Vec16 b) { return each<Vec16>([&](int i) { return a.lane[i] * b.lane[i]; }); }
inline Vec16 loadHalf16(const uint16_t* p) { return each<Vec16>([=](int i) { return halfToFloat(p[i]); }); }
inline Vec16 loadBfloat16(const uint16_t* p) { return each<Vec16>([=](int i) { return bfloatToFloat(p[i]); }); }
inline Dwords loadDwords(const uint8_t* p) {
  Dwords d;
  __builtin_memcpy(d.lane, p, 64);
  return d;
}
inline Vec16 nibble(Dwords d, int shift) { return each<Vec16>([&](int i) { return static_cast<float>(d.lane[i] >> shift & 15); }); }
inline Vec16 signedByte(Dwords d, int index) {
  return each<Vec16>([&](int i) { return static_cast<float>(static_cast<int8_t>(d.lane[i] >> (8 * index))); });
}

inline Vec8 set8(float x) { return each<Vec8>([=](int) { return x; }); }
inline Vec8 load8(const float* p) { return each<Vec8>([=](int i) { return p[i]; }); }
inline void store(float* p, Vec8 v) {
  for (int i = 0; i < 8; i++) p[i] = v.lane[i];
}
inline Vec8 add(Vec8 a, Vec8 b) { return each<Vec8>([&](int i) { return a.lane[i] + b.lane[i]; }); }
inline Vec8 sub(Vec8 a, Vec8 b) { return each<Vec8>([&](int i) { return a.lane[i] - b.lane[i]; }); }
inline Vec8 mul(Vec8 a, Vec8 b) { return each<Vec8>([&](int i) { return a.lane[i] * b.lane[i]; }); }
inline Vec8 div(Vec8 a, Vec8 b) { return each<Vec8>([&](int i) { return a.lane[i] / b.lane[i]; }); }
inline Vec8 fma(Vec8 a, Vec8 b, Vec8 c) { return each<Vec8>([&](int i) { return __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]); }); }
inline Vec8 fms(Vec8 a, Vec8 b, Vec8 c) { return each<Vec8>([&](int i) { return __builtin_fmaf(a.lane[i], b.lane[i], -c.lane[i]); }); }
inline Vec8 fnma(Vec8 a, Vec8 b, Vec8 c) { return each<Vec8>([&](int i) { return __builtin_fmaf(-a.lane[i], b.lane[i], c.lane[i]); }); }
inline Vec8 min(Vec8 a, Vec8 b) { return each<Vec8>([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; }); }
inline Vec8 max(Vec8 a, Vec8 b) { return each<Vec8>([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; }); }
inline Vec8 roundEven(Vec8 a) { return each<Vec8>([&](int i) { return __builtin_rintf(a.lane[i]); }); }
inline Vec8 powerOfTwo(Vec8 whole) { return each<Vec8>([&](int i) { return bitsToFloat(static_cast<uint32_t>(static_cast<int>(whole.lane[i]) + 127) << 23); }); }
/** value where x > threshold, else 0 */
inline Vec8 where(Vec8 value, Vec8 x, Vec8 threshold) { return each<Vec8>([&](int i) { return x.lane[i] > threshold.lane[i] ? value.lane[i] : 0.f; }); }
inline void storeHalf8(uint16_t* p, Vec8 v) {
  for (int i = 0; i < 8; i++) p[i] = floatToHalf(v.lane[i]);
}
