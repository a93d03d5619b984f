#pragma once
#include <cstdint>
#include <cstring>

namespace dynamo_labs {

inline float bitsToFloat(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
inline uint32_t floatToBits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

/** IEEE binary16 to binary32. Exact. */
inline float halfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 31, mantissa = half & 1023;
  if (exponent == 31) return bitsToFloat(sign | 0x7f800000 | mantissa << 13);
  if (exponent != 0) return bitsToFloat(sign | (exponent + 112) << 23 | mantissa << 13);
  const float subnormal = static_cast<float>(mantissa) * bitsToFloat(0x33800000); // 2^-24
  return sign ? -subnormal : subnormal;
}

/** Nearest-even binary16 of a value in [-65504, 65504]; the same bits as F16C's vcvtps2ph. */
inline uint16_t floatToHalf(float value) {
  const uint32_t bits = floatToBits(value), magnitude = bits & 0x7fffffff;
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  if (magnitude < 0x38800000) { // below 2^-14: subnormal; adding 0.5 lets the FPU round at 2^-24
    const float shifted = bitsToFloat(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (floatToBits(shifted) - 0x3f000000));
  }
  const uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
  return static_cast<uint16_t>(sign | (rounded - 0x38000000) >> 13);
}

inline float bfloatToFloat(uint16_t value) { return bitsToFloat(static_cast<uint32_t>(value) << 16); }

} // namespace dynamo_labs
