#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "holder_table.h"
#include "run_map.h"

namespace dynamo_labs::index {

/** Blocks that running requests use, counted per slot; the contract is in backend/src/router/activeBlocks.ts. Not thread-safe. */
class ActiveBlocks {
public:
  void acquire(uint32_t slot, const uint64_t* sequence, size_t count);
  void release(uint32_t slot, const uint64_t* sequence, size_t count);
  size_t count(uint32_t slot) const { return slot < users_.size() ? users_[slot].size() : 0; }
  void sharedPrefix(const uint64_t* sequence, size_t count, uint32_t* shared, size_t slots) { holders_.match(sequence, count, shared, slots); }

private:
  HolderTable holders_;
  /** Per slot: sequence hash → running requests that use the block. */
  std::vector<RunMap<uint32_t>> users_;
};

} // namespace dynamo_labs::index
