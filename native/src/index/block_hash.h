#pragma once
#include <cstddef>
#include <cstdint>

namespace dynamo_labs::index {

/** Seed of sequence hashes, and of local hashes without LoRA or cache salt. */
inline constexpr uint64_t kBlockHashSeed = 1337;

/** `XXH3_64(parent LE8 || local LE8, 1337)`: one link of Dynamo's chain. */
uint64_t sequenceHash(uint64_t parent, uint64_t local);

/**
 * Dynamo's two hashes of each full block of `block_tokens` tokens: the local one under `seed`, and the chain of them.
 * `local` (which may be null) and `sequence` have room for `count / block_tokens` values.
 */
void hashBlocks(const uint32_t* tokens, size_t count, size_t block_tokens, uint64_t seed, uint64_t* local, uint64_t* sequence);

} // namespace dynamo_labs::index
