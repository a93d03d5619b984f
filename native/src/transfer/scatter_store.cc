#include "scatter_store.h"

#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace dynamo_labs::transfer {

#if defined(__SSE2__)

namespace {

constexpr uint64_t kLine = 64, kSmall = 1024;

void streamLines(uint8_t* to, const uint8_t* from, uint64_t lines) {
  for (; lines > 0; lines--, to += kLine, from += kLine) {
    __m128i part[4];
    for (int i = 0; i < 4; i++) part[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from) + i);
    for (int i = 0; i < 4; i++) _mm_stream_si128(reinterpret_cast<__m128i*>(to) + i, part[i]);
  }
}

} // namespace

void scatterStore(uint8_t* to, const uint8_t* from, const Piece* begin, const Piece* end) {
  for (const Piece* piece = begin; piece != end; piece++) {
    uint8_t* const target = to + piece->local;
    if (piece->length < kSmall) {
      std::memcpy(target, from, piece->length);
    } else {
      const uint64_t head = (kLine - reinterpret_cast<uintptr_t>(target) % kLine) % kLine, lines = (piece->length - head) / kLine, streamed = head + lines * kLine;
      std::memcpy(target, from, head);
      streamLines(target + head, from + head, lines);
      std::memcpy(target + streamed, from + streamed, piece->length - streamed);
    }
    from += piece->length;
  }
  _mm_sfence(); // such stores are not ordered with what says that they are done
}

#else

void scatterStore(uint8_t* to, const uint8_t* from, const Piece* begin, const Piece* end) {
  for (const Piece* piece = begin; piece != end; from += piece->length, piece++) std::memcpy(to + piece->local, from, piece->length);
}

#endif

} // namespace dynamo_labs::transfer
