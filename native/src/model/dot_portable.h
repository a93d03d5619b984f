// Included inside the namespace of one instruction set. Plain loops over lanes.

constexpr int kIntegerRows = 4;

inline Dwords lowNibbles(Dwords d) {
  for (uint32_t& lane : d.lane) lane &= 0x0f0f0f0f;
  return d;
}
inline Dwords highNibbles(Dwords d) {
  for (uint32_t& lane : d.lane) lane = lane >> 4 & 0x0f0f0f0f;
  return d;
}

/** A nibble's byte is the same number signed and unsigned, so one form serves both kinds of weights. */
struct SignedDot {
  struct Sums {
    int32_t lane[16];
  };
  static Dwords prepare(Dwords weights) { return weights; }
  static Sums start(const int32_t*) { return {}; }
  static Sums add(Sums sums, const Dwords& weights, const int8_t* x) {
    for (int i = 0; i < 16; i++)
      for (int j = 0; j < 4; j++) sums.lane[i] += static_cast<int8_t>(weights.lane[i] >> (8 * j)) * x[j];
    return sums;
  }
  static Vec16 toFloat(const Sums& sums) { return each<Vec16>([&](int i) { return static_cast<float>(sums.lane[i]); }); }
};
using NibbleDot = SignedDot;
