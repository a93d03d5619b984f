#include "holder_table.h"

#include <algorithm>

namespace dynamo_labs::index {

namespace {

template <class Visit> void forEachSlot(SlotSets::Piece piece, Visit visit) {
  for (uint64_t bits = piece & UINT32_MAX; bits != 0; bits &= bits - 1) {
    visit(static_cast<size_t>((piece >> 32) * 32 + static_cast<uint64_t>(__builtin_ctzll(bits))));
  }
}

} // namespace

void HolderTable::release(uint32_t slot, const uint64_t* sequences, size_t count, RunReader<Blocks>& reader) {
  for (size_t at = 0; at < count; at++) releaseAt(slot, reader.at(sequences, count, at));
}

void HolderTable::releaseAt(uint32_t slot, uint32_t id) {
  if (id == kNoId) return;
  const uint32_t before = blocks_.value(id);
  const uint32_t after = sets_.without(before, slot);
  if (after == before) return;
  holdings_--;
  if (after == SlotSets::kEmpty) blocks_.erase(id);
  else blocks_.value(id) = after;
}

void HolderTable::match(const uint64_t* sequence, size_t count, uint32_t* overlaps, size_t slots) {
  std::fill(overlaps, overlaps + slots, 0);
  candidates_.clear();
  RunReader<Blocks> reader(blocks_);
  uint32_t word = SlotSets::kEmpty;
  uint32_t depth = 0;
  const auto ends = [&](size_t slot) {
    if (slot < slots) overlaps[slot] = depth;
  };
  for (; depth < count; depth++) {
    const uint32_t id = reader.at(sequence, count, depth);
    if (id == kNoId) break;
    if (blocks_.value(id) == word) continue; // the same holders as the block before
    word = blocks_.value(id);
    if (depth == 0) {
      SlotSets::Piece scratch = 0;
      const auto [data, pieces] = sets_.pieces(word, scratch);
      candidates_.assign(data, data + pieces);
    } else {
      keepHolders(word, ends);
      if (candidates_.empty()) return;
    }
  }
  for (const SlotSets::Piece piece : candidates_) forEachSlot(piece, ends);
}

/** Candidates that do not hold this block go; for each of them, `dropped(slot)`. */
template <class Dropped> void HolderTable::keepHolders(uint32_t word, Dropped dropped) {
  SlotSets::Piece scratch = 0;
  const auto [data, count] = sets_.pieces(word, scratch);
  size_t other = 0;
  size_t kept = 0;
  for (const SlotSets::Piece candidate : candidates_) {
    while (other < count && data[other] >> 32 < candidate >> 32) other++;
    const uint64_t holders = other < count && data[other] >> 32 == candidate >> 32 ? data[other] & UINT32_MAX : 0;
    forEachSlot(candidate & ~holders, dropped);
    if ((candidate & holders) != 0) candidates_[kept++] = candidate & (holders | ~uint64_t{UINT32_MAX});
  }
  candidates_.resize(kept);
}

} // namespace dynamo_labs::index
