#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "run_map.h"

namespace dynamo_labs::index {

/**
 * Blocks that running requests use, counted per slot; the contract is in backend/src/router/activeBlocks.ts. Not thread-safe.
 *
 * A tree of prompts: a segment is a run of blocks that the same requests pass through, so a prompt costs a few segments
 * and not its five hundred blocks one by one.
 */
class ActiveBlocks {
public:
  /** Returns what `release` wants to be told; `kNoId` for an empty sequence. */
  uint32_t acquire(uint32_t slot, const uint64_t* sequence, size_t count);
  /** Ignores what `acquire` did not give to this slot, or what was released. */
  void release(uint32_t slot, uint32_t end);
  size_t count(uint32_t slot) const { return slot < counts_.size() ? counts_[slot] : 0; }
  void sharedPrefix(const uint64_t* sequence, size_t count, uint32_t* shared, size_t slots) const;

private:
  struct Users {
    uint32_t slot;
    uint32_t requests;
  };
  /** Numbers of 8 bytes: 1 MiB. */
  static constexpr size_t kSpare = 1 << 17;

  /** Without users: free. Whoever uses a segment uses its parents. */
  struct Segment {
    uint32_t parent = kNoId;
    std::vector<uint64_t> blocks;
    std::vector<Users> users;
  };

  static uint64_t keyOf(uint32_t parent, uint64_t block) { return block ^ spread(parent); }
  /** The segment that follows `parent` with this block, or `kNoId`. */
  uint32_t childOf(uint32_t parent, uint64_t block) const;
  uint32_t makeSegment(uint32_t parent, const uint64_t* blocks, size_t count);
  /** The first `length` blocks become a segment of their own, which is returned; `id` goes on naming the end. */
  uint32_t split(uint32_t id, size_t length);
  void use(uint32_t slot, uint32_t id);
  /** False where the slot does not use the segment. */
  bool disuse(uint32_t slot, uint32_t id);
  /** Its memory is kept for the next segment: asking the allocator may mean to wait while it tidies up what a garbage collection has left it. */
  void discard(uint32_t id);

  std::vector<Segment> segments_;
  std::vector<uint32_t> free_;
  /** What the free segments have room for. At most `kSpare`. */
  size_t spare_ = 0;
  /** `keyOf` a segment's parent and first block → the segment. */
  RunMap<uint32_t> children_;
  /** Per slot: distinct blocks in use. */
  std::vector<size_t> counts_;
};

} // namespace dynamo_labs::index
