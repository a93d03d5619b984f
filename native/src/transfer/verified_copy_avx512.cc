// Copying waits for memory most of the time. So the tile before is compared in the same loop, out of the cache: that costs next to nothing.
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "chunk_plan.h"

namespace dynamo_labs::transfer::avx512 {

bool copyVerified(uint8_t* to, const uint8_t* from, const Piece* begin, const Piece* end) {
  constexpr uint64_t tile = 4 << 10;
  constexpr int kOrXor = 0xF6; // a | (b ^ c)
  const uint8_t* source_before = nullptr;
  const uint8_t* target_before = nullptr;
  uint64_t before = 0;
  __m512i differs = _mm512_setzero_si512(), differs_too = differs;
  bool same = true;
  for (const Piece* piece = begin; piece != end; piece++) {
    for (uint64_t at = 0; at < piece->length; at += tile) {
      const uint64_t bytes = std::min(tile, piece->length - at);
      const uint8_t* source = from + piece->remote + at;
      uint8_t* target = to + piece->local + at;
      const uint64_t both = std::min(bytes, before) & ~uint64_t(127);
      for (uint64_t i = 0; i < both; i += 128) {
        const __m512i first = _mm512_loadu_si512(source + i), second = _mm512_loadu_si512(source + i + 64);
        _mm512_storeu_si512(target + i, first);
        _mm512_storeu_si512(target + i + 64, second);
        differs = _mm512_ternarylogic_epi64(differs, _mm512_loadu_si512(source_before + i), _mm512_loadu_si512(target_before + i), kOrXor);
        differs_too = _mm512_ternarylogic_epi64(differs_too, _mm512_loadu_si512(source_before + i + 64), _mm512_loadu_si512(target_before + i + 64), kOrXor);
      }
      if (both < bytes) std::memcpy(target + both, source + both, bytes - both);
      if (both < before && std::memcmp(source_before + both, target_before + both, before - both) != 0) same = false;
      asm volatile("" ::: "memory"); // what is compared is what memory holds, not what the compiler knows of the copy
      source_before = source;
      target_before = target;
      before = bytes;
    }
  }
  if (before > 0 && std::memcmp(source_before, target_before, before) != 0) same = false;
  differs = _mm512_or_si512(differs, differs_too);
  return same && _mm512_test_epi64_mask(differs, differs) == 0;
}

} // namespace dynamo_labs::transfer::avx512
