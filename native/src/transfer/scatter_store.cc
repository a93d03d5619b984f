#include "scatter_store.h"

#include <algorithm>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace dynamo_labs::transfer {

#if defined(__SSE2__)

namespace {

constexpr uint64_t kLine = 64, kSmall = 256;

void streamLines(uint8_t* to, const uint8_t* from, uint64_t lines) {
  for (; lines > 0; lines--, to += kLine, from += kLine) {
    __m128i part[4];
    for (int i = 0; i < 4; i++) part[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from) + i);
    for (int i = 0; i < 4; i++) _mm_stream_si128(reinterpret_cast<__m128i*>(to) + i, part[i]);
  }
}

void store(uint8_t* to, const uint8_t* from, uint64_t bytes) {
  if (bytes < kSmall) return void(std::memcpy(to, from, bytes));
  const uint64_t head = (kLine - reinterpret_cast<uintptr_t>(to) % kLine) % kLine, lines = (bytes - head) / kLine, streamed = head + lines * kLine;
  std::memcpy(to, from, head);
  streamLines(to + head, from + head, lines);
  std::memcpy(to + streamed, from + streamed, bytes - streamed);
}

} // namespace

ScatterStore::~ScatterStore() { _mm_sfence(); } // such stores are not ordered with what says that they are done

#else

static void store(uint8_t* to, const uint8_t* from, uint64_t bytes) { std::memcpy(to, from, bytes); }

ScatterStore::~ScatterStore() = default;

#endif

void ScatterStore::put(uint64_t bytes) {
  while (bytes > 0 && piece_ != end_) {
    const uint64_t take = std::min(bytes, piece_->length - done_);
    store(to_ + piece_->local + done_, from_, take);
    from_ += take;
    bytes -= take;
    done_ += take;
    if (done_ < piece_->length) return;
    piece_++;
    done_ = 0;
  }
}

void wipe(uint8_t* to, const Piece* begin, const Piece* end) {
  for (const Piece* piece = begin; piece != end; piece++) std::memset(to + piece->local, 0, piece->length);
}

} // namespace dynamo_labs::transfer
