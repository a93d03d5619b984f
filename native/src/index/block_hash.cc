#include "block_hash.h"

#include <bit>

#define XXH_INLINE_ALL
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include "../../third_party/xxhash/xxhash.h"
#pragma GCC diagnostic pop

namespace dynamo_labs::index {

static_assert(std::endian::native == std::endian::little, "tokens and hashes are hashed as little-endian bytes, in place");

uint64_t sequenceHash(uint64_t parent, uint64_t local) {
  const uint64_t pair[2] = {parent, local};
  return XXH3_64bits_withSeed(pair, sizeof(pair), kBlockHashSeed);
}

void hashBlocks(const uint32_t* tokens, size_t count, size_t block_tokens, uint64_t seed, uint64_t* local, uint64_t* sequence) {
  const size_t blocks = count / block_tokens;
  for (size_t block = 0; block < blocks; block++) {
    const uint64_t hash = XXH3_64bits_withSeed(tokens + block * block_tokens, block_tokens * sizeof(uint32_t), seed);
    if (local != nullptr) local[block] = hash;
    sequence[block] = block == 0 ? hash : sequenceHash(sequence[block - 1], hash);
  }
}

} // namespace dynamo_labs::index
