#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "run_map.h"
#include "slot_sets.h"

namespace dynamo_labs::index {

/**
 * Sequence hash → slots that have the block. A sequence hash commits to its whole prefix, so a flat table answers
 * prefix queries: no tree, and memory only for blocks that somebody has. Not thread-safe.
 */
class HolderTable {
public:
  using Blocks = RunMap<uint32_t, 6>;

  /** Says where the block is: the hint for the next one of its sequence. */
  uint32_t hold(uint32_t slot, uint64_t sequence, uint32_t last = kNoId) {
    const uint32_t id = blocks_.insert(sequence, last).first;
    const uint32_t before = blocks_.value(id);
    // A word stands for several sets only one after the other, so an equal word here means that nothing changed.
    const uint32_t after = sets_.with(before, slot);
    if (after == before) return id;
    blocks_.value(id) = after;
    holdings_++;
    return id;
  }
  /** Nothing happens where the slot does not have it. */
  void release(uint32_t slot, uint64_t sequence) { releaseAt(slot, blocks_.find(sequence)); }
  void release(uint32_t slot, const uint64_t* sequences, size_t count, RunReader<Blocks>& reader);
  RunReader<Blocks> reader() const { return RunReader<Blocks>(blocks_); }
  bool has(uint32_t slot, uint64_t sequence) const {
    const uint32_t id = blocks_.find(sequence);
    return id != kNoId && sets_.contains(blocks_.value(id), slot);
  }
  void prefetch(uint64_t sequence) const { blocks_.prefetch(sequence); }

  /** For each slot below `slots`: how many leading blocks of `sequence` it has without a hole. */
  void match(const uint64_t* sequence, size_t count, uint32_t* overlaps, size_t slots);

  size_t blocks() const { return blocks_.size(); }
  size_t holdings() const { return holdings_; }
  size_t bytes() const { return blocks_.bytes() + sets_.bytes(); }

private:
  void releaseAt(uint32_t slot, uint32_t id);
  template <class Dropped> void keepHolders(uint32_t word, Dropped dropped);

  /** The values are words of `sets_`, never of the empty set. */
  Blocks blocks_;
  SlotSets sets_;
  size_t holdings_ = 0;
  std::vector<SlotSets::Piece> candidates_; // scratch of `match`
};

} // namespace dynamo_labs::index
