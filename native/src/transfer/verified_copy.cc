#include "verified_copy.h"

#include <algorithm>
#include <cstring>

namespace dynamo_labs::transfer {

#if defined(__x86_64__)
namespace avx512 {
bool copyVerified(uint8_t* to, const uint8_t* from, const Piece* begin, const Piece* end);
}
static const bool wide = __builtin_cpu_supports("avx512f");
#endif

bool copyVerified(uint8_t* to, const uint8_t* from, const Piece* begin, const Piece* end) {
#if defined(__x86_64__)
  if (wide && avx512::copyVerified(to, from, begin, end)) return true; // otherwise once more, tile by tile: pieces that overlap each other are no error
#endif
  constexpr uint64_t tile = 16 << 10; // source and destination tile fit in L1 and L2 together
  bool same = true;
  for (const Piece* piece = begin; piece != end; piece++) {
    for (uint64_t at = 0; at < piece->length; at += tile) {
      const uint64_t bytes = std::min(tile, piece->length - at);
      const uint8_t* source = from + piece->remote + at;
      uint8_t* target = to + piece->local + at;
      std::memcpy(target, source, bytes);
      asm volatile("" ::: "memory"); // what is compared is what memory holds, not what the compiler knows of the copy
      if (std::memcmp(source, target, bytes) != 0) same = false;
    }
  }
  return same;
}

} // namespace dynamo_labs::transfer
