#include "holder_table.h"

#include <algorithm>

namespace dynamo_labs::index {

namespace {

/** Far enough ahead to hide a miss in main memory, near enough to stay in the first cache. */
constexpr size_t kPrefetchAhead = 16;

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
  for (size_t ahead = 0; ahead < std::min(count, kPrefetchAhead); ahead++) blocks_.prefetch(sequence[ahead]);
  const SlotSet* first = count == 0 ? nullptr : blocks_.find(sequence[0]);
  if (first == nullptr) return;
  uint32_t few[SlotSet::kFew];
  const size_t holders = first->copyFew(few);
  if (holders > 0) matchFew(sequence, count, overlaps, slots, few, holders);
  else matchMany(sequence, count, overlaps, slots, *first);
}

/** At most three slots have the first block: each is followed by itself. */
void HolderTable::matchFew(const uint64_t* sequence, size_t count, uint32_t* overlaps, size_t slots, uint32_t* few, size_t left) {
  for (size_t depth = 0; depth < count && left > 0; depth++) {
    if (depth + kPrefetchAhead < count) blocks_.prefetch(sequence[depth + kPrefetchAhead]);
    const SlotSet* holders = blocks_.find(sequence[depth]);
    if (holders == nullptr) return;
    size_t kept = 0;
    for (size_t at = 0; at < left; at++) {
      if (!holders->contains(few[at])) continue;
      if (few[at] < slots) overlaps[few[at]] = static_cast<uint32_t>(depth + 1);
      few[kept++] = few[at];
    }
    left = kept;
  }
}

void HolderTable::matchMany(const uint64_t* sequence, size_t count, uint32_t* overlaps, size_t slots, const SlotSet& first) {
  const size_t words = (slots + 63) / 64;
  if (words == 0) return;
  candidates_.resize(words);
  first.copyTo(candidates_.data(), words);
  if (slots % 64 != 0) candidates_.back() &= (1ull << (slots % 64)) - 1;
  size_t depth = 1;
  for (; depth < count; depth++) {
    if (depth + kPrefetchAhead < count) blocks_.prefetch(sequence[depth + kPrefetchAhead]);
    const SlotSet* holders = blocks_.find(sequence[depth]);
    if (holders == nullptr) break;
    const bool left = holders->intersect(candidates_.data(), words, [&](uint32_t slot) { overlaps[slot] = static_cast<uint32_t>(depth); });
    if (!left) return;
  }
  for (size_t word = 0; word < words; word++) {
    for (uint64_t bits = candidates_[word]; bits != 0; bits &= bits - 1) {
      overlaps[word * 64 + static_cast<size_t>(__builtin_ctzll(bits))] = static_cast<uint32_t>(depth);
    }
  }
}

} // namespace dynamo_labs::index
