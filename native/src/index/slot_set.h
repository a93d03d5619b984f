#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace dynamo_labs::index {

/**
 * The slots that hold one block, in 8 bytes while there are at most three (most blocks have one holder), else a bitmap on the heap.
 * Slots are below 2^20.
 */
class SlotSet {
public:
  static constexpr uint32_t kMaxSlots = 1u << 20;
  /** Up to so many slots are kept without heap memory. */
  static constexpr uint32_t kFew = 3;

  SlotSet() = default;
  SlotSet(SlotSet&& other) noexcept : word_(other.word_) { other.word_ = kNone; }
  SlotSet& operator=(SlotSet&& other) noexcept;
  SlotSet(const SlotSet&) = delete;
  SlotSet& operator=(const SlotSet&) = delete;
  ~SlotSet() { release(); }

  bool empty() const { return word_ == kNone; }
  bool contains(uint32_t slot) const {
    if (!isInline()) return (bitsOf(slot / 64) >> (slot % 64) & 1) != 0;
    for (uint32_t at = 0; at < inlineCount(); at++) {
      if (inlineSlot(at) == slot) return true;
    }
    return false;
  }
  /** False when the slot was there already. */
  bool insert(uint32_t slot) {
    if (word_ != kNone) return insertFurther(slot);
    setInline(&slot, 1);
    return true;
  }
  /** False when the slot was not there. */
  bool erase(uint32_t slot) {
    if (!contains(slot)) return false;
    if (isInline() && inlineCount() == 1) word_ = kNone;
    else eraseOneOfSeveral(slot);
    return true;
  }
  /** `target &= this`; returns whether anything is left. For each bit that went, `dropped(slot)`. */
  template <class Dropped> bool intersect(uint64_t* target, size_t words, Dropped dropped) const;
  /** `target = this`, cut at `words * 64` slots. */
  void copyTo(uint64_t* target, size_t words) const;
  /** Writes the slots to `target`, which has room for `kFew`, and says how many; 0 when there are more than that, or none. */
  size_t copyFew(uint32_t* target) const {
    if (!isInline()) return 0;
    for (uint32_t at = 0; at < inlineCount(); at++) target[at] = inlineSlot(at);
    return inlineCount();
  }
  /** Heap bytes behind the word. */
  size_t heapBytes() const { return word_ == kNone || isInline() ? 0 : sizeof(Bitmap) + bitmap()->words * sizeof(uint64_t); }

private:
  struct Bitmap {
    uint32_t count;
    uint32_t words;
    uint64_t bits[];
  };
  // Inline: bit 0 set, bits 1-2 the count, then three slots of 20 bits. Otherwise a pointer; 0 is the empty set.
  static constexpr uint64_t kNone = 0;

  bool isInline() const { return (word_ & 1) != 0; }
  uint32_t inlineCount() const { return static_cast<uint32_t>(word_ >> 1) & 3; }
  uint32_t inlineSlot(uint32_t at) const { return static_cast<uint32_t>(word_ >> (3 + 20 * at)) & (kMaxSlots - 1); }
  Bitmap* bitmap() const { return reinterpret_cast<Bitmap*>(word_); }
  void setInline(const uint32_t* slots, uint32_t count) {
    word_ = count == 0 ? kNone : 1 | static_cast<uint64_t>(count) << 1;
    for (uint32_t at = 0; at < count; at++) word_ |= static_cast<uint64_t>(slots[at]) << (3 + 20 * at);
  }
  uint64_t bitsOf(size_t word) const;
  bool insertFurther(uint32_t slot);
  void eraseOneOfSeveral(uint32_t slot);
  void release() {
    if (word_ != kNone && !isInline()) std::free(bitmap());
    word_ = kNone;
  }

  uint64_t word_ = kNone;
};

template <class Dropped> bool SlotSet::intersect(uint64_t* target, size_t words, Dropped dropped) const {
  uint64_t left = 0;
  for (size_t at = 0; at < words; at++) {
    if (target[at] == 0) continue;
    const uint64_t kept = target[at] & bitsOf(at);
    for (uint64_t gone = target[at] & ~kept; gone != 0; gone &= gone - 1) {
      dropped(static_cast<uint32_t>(at * 64 + static_cast<size_t>(__builtin_ctzll(gone))));
    }
    target[at] = kept;
    left |= kept;
  }
  return left != 0;
}

/** The 64 slots from `word * 64` on, as bits. */
inline uint64_t SlotSet::bitsOf(size_t word) const {
  if (!isInline()) return word_ != kNone && word < bitmap()->words ? bitmap()->bits[word] : 0;
  uint64_t bits = 0;
  for (uint32_t at = 0; at < inlineCount(); at++) {
    const uint32_t slot = inlineSlot(at);
    if (slot / 64 == word) bits |= 1ull << (slot % 64);
  }
  return bits;
}

} // namespace dynamo_labs::index
