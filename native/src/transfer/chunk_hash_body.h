// Included by one file per instruction set, which defines CHUNK_HASH_NAMESPACE first: XXH3 chooses its vector width when it is compiled.
#pragma once
#include <sys/uio.h>

#include <cstdint>

#define XXH_INLINE_ALL
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include "../../third_party/xxhash/xxhash.h"
#pragma GCC diagnostic pop

namespace dynamo_labs::transfer::CHUNK_HASH_NAMESPACE {

/** The beginning of a piece: what the hash of the piece before asks for ahead does not reach it. */
static inline void prefetch(const iovec& piece) {
  const char* const data = static_cast<const char*>(piece.iov_base);
  for (size_t at = 0; at < piece.iov_len && at < 2048; at += 64) XXH_PREFETCH(data + at);
}

uint64_t hashBytes(const void* data, size_t bytes) { return XXH3_64bits(data, bytes); }

uint64_t hashPieces(const iovec* pieces, size_t count) {
  if (count == 1) return XXH3_64bits(pieces[0].iov_base, pieces[0].iov_len);
  alignas(64) XXH3_state_t state;
  XXH3_INITSTATE(&state);
  XXH3_64bits_reset(&state);
  for (size_t i = 0; i < count; i++) {
    if (i + 1 < count) prefetch(pieces[i + 1]);
    if (pieces[i].iov_len > 0) XXH3_64bits_update(&state, pieces[i].iov_base, pieces[i].iov_len);
  }
  return XXH3_64bits_digest(&state);
}

} // namespace dynamo_labs::transfer::CHUNK_HASH_NAMESPACE
