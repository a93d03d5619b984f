#include "slot_set.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

namespace dynamo_labs::index {

SlotSet& SlotSet::operator=(SlotSet&& other) noexcept {
  if (this == &other) return *this;
  release();
  word_ = other.word_;
  other.word_ = kNone;
  return *this;
}

bool SlotSet::insertFurther(uint32_t slot) {
  if (contains(slot)) return false;
  if (isInline()) {
    uint32_t slots[kFew + 1];
    uint32_t count = 0;
    for (; count < inlineCount(); count++) slots[count] = inlineSlot(count);
    slots[count++] = slot;
    if (count <= kFew) {
      setInline(slots, count);
      return true;
    }
    const uint32_t words = *std::max_element(slots, slots + count) / 64 + 1;
    auto* made = static_cast<Bitmap*>(std::calloc(1, sizeof(Bitmap) + words * sizeof(uint64_t)));
    if (made == nullptr) throw std::bad_alloc();
    made->words = words;
    made->count = count;
    for (uint32_t at = 0; at < count; at++) made->bits[slots[at] / 64] |= 1ull << (slots[at] % 64);
    word_ = reinterpret_cast<uint64_t>(made);
    return true;
  }
  const uint32_t words = slot / 64 + 1;
  if (words > bitmap()->words) {
    auto* grown = static_cast<Bitmap*>(std::realloc(bitmap(), sizeof(Bitmap) + words * sizeof(uint64_t)));
    if (grown == nullptr) throw std::bad_alloc();
    std::memset(grown->bits + grown->words, 0, (words - grown->words) * sizeof(uint64_t));
    grown->words = words;
    word_ = reinterpret_cast<uint64_t>(grown);
  }
  bitmap()->bits[slot / 64] |= 1ull << (slot % 64);
  bitmap()->count++;
  return true;
}

void SlotSet::eraseOneOfSeveral(uint32_t slot) {
  uint32_t slots[kFew];
  uint32_t count = 0;
  if (isInline()) {
    for (uint32_t at = 0; at < inlineCount(); at++) {
      if (inlineSlot(at) != slot) slots[count++] = inlineSlot(at);
    }
    setInline(slots, count);
    return;
  }
  bitmap()->bits[slot / 64] &= ~(1ull << (slot % 64));
  if (--bitmap()->count > kFew - 1) return;
  // Few enough to live inline again; one below the limit, so that a set at the limit does not go back and forth.
  for (uint32_t word = 0; word < bitmap()->words; word++) {
    for (uint64_t bits = bitmap()->bits[word]; bits != 0; bits &= bits - 1) {
      slots[count++] = word * 64 + static_cast<uint32_t>(__builtin_ctzll(bits));
    }
  }
  release();
  setInline(slots, count);
}

void SlotSet::copyTo(uint64_t* target, size_t words) const {
  for (size_t at = 0; at < words; at++) target[at] = bitsOf(at);
}

} // namespace dynamo_labs::index
