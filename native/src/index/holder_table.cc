#include "holder_table.h"

#include <algorithm>

namespace dynamo_labs::index {

namespace {

/** Far enough ahead to hide a miss in main memory, near enough to stay in the first cache. */
constexpr size_t kPrefetchAhead = 8;

} // namespace

bool HolderTable::hold(uint32_t slot, uint64_t sequence) {
  SlotSet& holders = *blocks_.insert(sequence).first;
  heap_bytes_ -= holders.heapBytes();
  const bool added = holders.insert(slot);
  heap_bytes_ += holders.heapBytes();
  holdings_ += added ? 1 : 0;
  return added;
}

bool HolderTable::release(uint32_t slot, uint64_t sequence) {
  SlotSet* holders = blocks_.find(sequence);
  if (holders == nullptr) return false;
  heap_bytes_ -= holders->heapBytes();
  const bool removed = holders->erase(slot);
  heap_bytes_ += holders->heapBytes();
  holdings_ -= removed ? 1 : 0;
  if (holders->empty()) blocks_.eraseAt(sequence, holders);
  return removed;
}

bool HolderTable::has(uint32_t slot, uint64_t sequence) const {
  const SlotSet* holders = blocks_.find(sequence);
  return holders != nullptr && holders->contains(slot);
}

void HolderTable::match(const uint64_t* sequence, size_t count, uint32_t* overlaps, size_t slots) {
  std::fill(overlaps, overlaps + slots, 0);
  const size_t words = (slots + 63) / 64;
  if (words == 0) return;
  candidates_.resize(words);
  for (size_t ahead = 0; ahead < std::min(count, kPrefetchAhead); ahead++) blocks_.prefetch(sequence[ahead]);
  size_t depth = 0;
  for (; depth < count; depth++) {
    if (depth + kPrefetchAhead < count) blocks_.prefetch(sequence[depth + kPrefetchAhead]);
    const SlotSet* holders = blocks_.find(sequence[depth]);
    if (holders == nullptr) break;
    if (depth == 0) {
      holders->copyTo(candidates_.data(), words);
      if (slots % 64 != 0) candidates_.back() &= (1ull << (slots % 64)) - 1;
      if (std::all_of(candidates_.begin(), candidates_.end(), [](uint64_t word) { return word == 0; })) return;
      continue;
    }
    const bool left = holders->intersect(candidates_.data(), words, [&](uint32_t slot) { overlaps[slot] = static_cast<uint32_t>(depth); });
    if (!left) return;
  }
  if (depth == 0) return;
  for (size_t word = 0; word < words; word++) {
    for (uint64_t bits = candidates_[word]; bits != 0; bits &= bits - 1) {
      overlaps[word * 64 + static_cast<size_t>(__builtin_ctzll(bits))] = static_cast<uint32_t>(depth);
    }
  }
}

} // namespace dynamo_labs::index
