#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "holder_table.h"
#include "run_map.h"

namespace dynamo_labs::index {

enum class StoreStatus { kOk = 0, kOrphan = 1, kSelfParent = 2 };

/** Which slot holds which block of which prefix; the contract is in backend/src/router/prefixIndex.ts. Not thread-safe. */
class PrefixIndex {
public:
  /** `parent_sequence` is used where this index does not know `parent`. Slots are below `SlotSets::kMaxSlots`. */
  StoreStatus store(uint32_t slot, std::optional<uint64_t> parent, const uint64_t* engine, const uint64_t* local, size_t count,
                    std::optional<uint64_t> parent_sequence);
  /** Returns how many of the hashes the slot did not hold. */
  size_t remove(uint32_t slot, const uint64_t* engine, size_t count);
  /** Returns the blocks that the slot held. */
  size_t clear(uint32_t slot);
  void match(const uint64_t* sequence, size_t count, uint32_t* overlaps, size_t slots) { holders_.match(sequence, count, overlaps, slots); }
  size_t matchFrom(uint32_t slot, const uint64_t* sequence, size_t count, size_t start) const;
  std::optional<uint64_t> sequenceOf(uint32_t slot, uint64_t engine) const;
  size_t blocksOf(uint32_t slot) const { return slot < known_.size() ? known_[slot].size() : 0; }

  size_t blocks() const { return holders_.blocks(); }
  size_t holdings() const { return holders_.holdings(); }
  size_t bytes() const;

private:
  HolderTable holders_;
  /** Per slot: engine hash → sequence hash. */
  std::vector<RunMap<uint64_t>> known_;
};

} // namespace dynamo_labs::index
