#include "chunk_plan.h"

#include <algorithm>

namespace dynamo_labs::transfer {

namespace {
constexpr size_t kMaxPieces = 1000;
}

std::vector<Range> mergeRanges(std::vector<Range> ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.offset < b.offset; });
  std::vector<Range> merged;
  for (const Range& range : ranges) {
    if (range.length == 0) continue;
    if (!merged.empty() && range.offset <= merged.back().offset + merged.back().length)
      merged.back().length = std::max(merged.back().length, range.offset + range.length - merged.back().offset);
    else merged.push_back(range);
  }
  return merged;
}

bool covers(const std::vector<Range>& merged, uint64_t offset, uint64_t length) {
  auto after = std::upper_bound(merged.begin(), merged.end(), offset, [](uint64_t at, const Range& range) { return at < range.offset; });
  if (after == merged.begin()) return false;
  const Range& range = *--after;
  return offset - range.offset <= range.length && length <= range.length - (offset - range.offset);
}

ChunkPlan::ChunkPlan(const std::vector<Piece>& pieces, uint32_t chunk_bytes) {
  pieces_.reserve(pieces.size());
  uint64_t in_chunk = 0;
  const auto close = [&] {
    if (pieces_.size() > first_.back()) first_.push_back(static_cast<uint32_t>(pieces_.size()));
    in_chunk = 0;
  };
  for (Piece piece : pieces) {
    bytes_ += piece.length;
    while (piece.length > 0) {
      if (in_chunk == chunk_bytes || pieces_.size() - first_.back() == kMaxPieces) close();
      const uint64_t take = std::min<uint64_t>(piece.length, chunk_bytes - in_chunk);
      Piece* last = pieces_.size() > first_.back() ? &pieces_.back() : nullptr;
      if (last && last->remote + last->length == piece.remote && last->local + last->length == piece.local) last->length += take;
      else pieces_.push_back({piece.remote, piece.local, take});
      in_chunk += take;
      piece = {piece.remote + take, piece.local + take, piece.length - take};
    }
  }
  close();
}

uint32_t ChunkPlan::chunkBytes(uint32_t chunk) const {
  uint64_t bytes = 0;
  for (const Piece* piece = begin(chunk); piece != end(chunk); piece++) bytes += piece->length;
  return static_cast<uint32_t>(bytes);
}

} // namespace dynamo_labs::transfer
