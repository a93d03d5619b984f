#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace dynamo_labs::transfer {

/** `length` bytes at `remote` in the owner's pool go to `local` in ours. */
struct Piece {
  uint64_t remote = 0;
  uint64_t local = 0;
  uint64_t length = 0;
};

struct Range {
  uint64_t offset = 0;
  uint64_t length = 0;
};

/** Sorted, and neighbours and overlaps joined. */
std::vector<Range> mergeRanges(std::vector<Range> ranges);
/** Whether one of the merged ranges holds all of it. */
bool covers(const std::vector<Range>& merged, uint64_t offset, uint64_t length);

/**
 * The pieces of a transfer, neighbours merged, cut into chunks: the unit that is requested, verified, counted and resumed.
 * A chunk has at most `chunk_bytes` bytes and 1,000 pieces (so that one readv/writev takes it).
 */
class ChunkPlan {
public:
  ChunkPlan() = default;
  ChunkPlan(const std::vector<Piece>& pieces, uint32_t chunk_bytes);

  uint32_t chunks() const { return static_cast<uint32_t>(first_.size() - 1); }
  const Piece* begin(uint32_t chunk) const { return pieces_.data() + first_[chunk]; }
  const Piece* end(uint32_t chunk) const { return pieces_.data() + first_[chunk + 1]; }
  uint32_t chunkBytes(uint32_t chunk) const;
  uint64_t bytes() const { return bytes_; }
  /** After merging. */
  size_t pieces() const { return pieces_.size(); }

private:
  std::vector<Piece> pieces_;
  std::vector<uint32_t> first_{0};
  uint64_t bytes_ = 0;
};

} // namespace dynamo_labs::transfer
