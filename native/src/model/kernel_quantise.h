// Included inside the namespace of one instruction set. Plain loops: each is exact or elementwise, so vectorising them cannot change a bit.

/** One row of `groups` * 32 floats into its place of a tile. A group that holds a NaN or an infinity gets scale NaN, so that it is not lost. */
inline void quantiseRow(const float* x, int groups, QuantisedGroup* tile, int row) {
  const int r = row % kRowTile;
  for (int g = 0; g < groups; g++, x += kQuantGroup) {
    QuantisedGroup& group = tile[g];
    uint32_t magnitude = 0; // of floats without their sign, compared as integers: NaN is above infinity is above numbers
    for (int i = 0; i < kQuantGroup; i++) {
      const uint32_t bits = __builtin_bit_cast(uint32_t, x[i]) & 0x7fffffff;
      magnitude = bits > magnitude ? bits : magnitude;
    }
    const bool finite = magnitude < 0x7f800000;
    const float largest = __builtin_bit_cast(float, magnitude);
    // A group below 1e-30 counts as zeros: its inverse could be infinite.
    const float inverse = finite && largest > 1e-30f ? 127.f / largest : 0.f;
    int32_t sum = 0;
    for (int i = 0; i < kQuantGroup; i++) {
      // Adding 1.5 * 2^23 leaves the nearest integer, halves to even, in the low bits.
      const float shifted = (finite ? x[i] * inverse : 0.f) + 12582912.f;
      const int32_t quant = __builtin_bit_cast(int32_t, shifted) - 0x4b400000;
      group.quants[r][i] = static_cast<int8_t>(quant);
      sum += quant;
    }
    const float scale = finite ? largest * (1.f / 127.f) : __builtin_nanf("");
    group.scales[r] = scale;
    group.scaled_sums[r] = scale * static_cast<float>(sum);
    group.offsets[r] = -128 * sum;
  }
}
