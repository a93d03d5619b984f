#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "segmented_map.h"
#include "slot_set.h"

namespace dynamo_labs::index {

/**
 * Sequence hash → slots that have the block. A sequence hash commits to its whole prefix, so a flat table answers
 * prefix queries: no tree, and memory only for blocks that somebody has. Not thread-safe.
 */
class HolderTable {
public:
  /** False when the slot had it already. */
  bool hold(uint32_t slot, uint64_t sequence);
  /** False when the slot did not have it. */
  bool release(uint32_t slot, uint64_t sequence);
  bool has(uint32_t slot, uint64_t sequence) const;
  void prefetch(uint64_t sequence) const { blocks_.prefetch(sequence); }

  /** For each slot below `slots`: how many leading blocks of `sequence` it has without a hole. */
  void match(const uint64_t* sequence, size_t count, uint32_t* overlaps, size_t slots);

  size_t blocks() const { return blocks_.size(); }
  size_t holdings() const { return holdings_; }
  size_t bytes() const { return blocks_.bytes() + heap_bytes_; }

private:
  void matchFew(const uint64_t* sequence, size_t count, uint32_t* overlaps, size_t slots, uint32_t* few, size_t left);
  void matchMany(const uint64_t* sequence, size_t count, uint32_t* overlaps, size_t slots, const SlotSet& first);

  SegmentedMap<SlotSet> blocks_;
  size_t holdings_ = 0;
  size_t heap_bytes_ = 0;
  std::vector<uint64_t> candidates_; // scratch of `match`
};

} // namespace dynamo_labs::index
