// Included by one file per instruction set, which defines CHUNK_HASH_NAMESPACE first: XXH3 chooses its vector width when it is compiled.
#pragma once
#include <sys/uio.h>

#include <cstdint>

#define XXH_INLINE_ALL
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include "../../third_party/xxhash/xxhash.h"
#pragma GCC diagnostic pop

#include "scatter_store.h"

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

uint64_t hashAndStore(const uint8_t* data, size_t bytes, ScatterStore& places) {
  if (bytes <= XXH3_MIDSIZE_MAX) {
    places.put(bytes);
    return XXH3_64bits(data, bytes);
  }
  // XXH3_hashLong_internal_loop, and each block is stored when it has been read.
  alignas(64) xxh_u64 acc[XXH_ACC_NB] = XXH3_INIT_ACC;
  constexpr size_t secret_end = sizeof(XXH3_kSecret) - XXH_STRIPE_LEN, stripes = secret_end / XXH_SECRET_CONSUME_RATE, block = stripes * XXH_STRIPE_LEN;
  const uint8_t *at = data, *const last = data + (bytes - 1) / block * block;
  for (; at != last; at += block) {
    XXH3_accumulate(acc, at, XXH3_kSecret, stripes);
    XXH3_scrambleAcc(acc, XXH3_kSecret + secret_end);
    places.put(block);
  }
  XXH3_accumulate(acc, at, XXH3_kSecret, static_cast<size_t>(data + bytes - 1 - at) / XXH_STRIPE_LEN);
  XXH3_accumulate_512(acc, data + bytes - XXH_STRIPE_LEN, XXH3_kSecret + secret_end - XXH_SECRET_LASTACC_START);
  places.put(bytes);
  return XXH3_finalizeLong_64b(acc, XXH3_kSecret, bytes);
}

} // namespace dynamo_labs::transfer::CHUNK_HASH_NAMESPACE
