#include "block_hash.h"

#include <bit>

#define XXH_INLINE_ALL
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include "../../third_party/xxhash/xxhash.h"
#pragma GCC diagnostic pop

namespace dynamo_labs::index {

static_assert(std::endian::native == std::endian::little, "tokens and hashes are hashed as little-endian bytes, in place");

namespace {

uint64_t link(uint64_t parent, uint64_t local) {
  const uint64_t pair[2] = {parent, local};
  return XXH3_64bits_withSeed(pair, sizeof(pair), kBlockHashSeed);
}

/** With a length that the compiler knows, a hash of a short block is a few multiplications without a branch. `kTokens` 0: any. */
template <size_t kTokens>
void hashBlocksOf(const uint32_t* tokens, size_t blocks, size_t block_tokens, uint64_t seed, uint64_t* local, uint64_t* sequence) {
  const size_t step = kTokens == 0 ? block_tokens : kTokens;
  uint64_t previous = 0;
  for (size_t block = 0; block < blocks; block++) {
    const uint64_t hash = XXH3_64bits_withSeed(tokens + block * step, step * sizeof(uint32_t), seed);
    if (local != nullptr) local[block] = hash;
    sequence[block] = previous = block == 0 ? hash : link(previous, hash);
  }
}

} // namespace

uint64_t sequenceHash(uint64_t parent, uint64_t local) { return link(parent, local); }

void hashBlocks(const uint32_t* tokens, size_t count, size_t block_tokens, uint64_t seed, uint64_t* local, uint64_t* sequence) {
  const size_t blocks = count / block_tokens;
  switch (block_tokens) {
  case 8:
    return hashBlocksOf<8>(tokens, blocks, block_tokens, seed, local, sequence);
  case 16:
    return hashBlocksOf<16>(tokens, blocks, block_tokens, seed, local, sequence);
  case 32:
    return hashBlocksOf<32>(tokens, blocks, block_tokens, seed, local, sequence);
  default:
    return hashBlocksOf<0>(tokens, blocks, block_tokens, seed, local, sequence);
  }
}

} // namespace dynamo_labs::index
