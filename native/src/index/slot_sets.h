#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "run_map.h"

namespace dynamo_labs::index {

/**
 * Sets of slots as 32-bit words. A set of one slot is in its word; each larger set exists once, however many blocks have it,
 * and lives while a word names it. The blocks of a shared prefix mostly have the same holders, so they have the same word,
 * and comparing words tells that without looking at the sets. Slots are below 2^20. Not thread-safe.
 */
class SlotSets {
public:
  static constexpr uint32_t kMaxSlots = 1u << 20;
  static constexpr uint32_t kEmpty = 0;

  /** Thirty-two slots: the upper half says which, the lower half has their bits. A set is a list of these, in order. */
  using Piece = uint64_t;
  struct Pieces {
    const Piece* data;
    size_t count;
  };

  SlotSets() = default;
  SlotSets(const SlotSets&) = delete;
  SlotSets& operator=(const SlotSets&) = delete;
  ~SlotSets();

  /** The word of the set with `slot`. Takes back `word`, which the caller must forget. */
  uint32_t with(uint32_t word, uint32_t slot) {
    if (word == kEmpty) return single(slot);
    return word == single(slot) ? word : withFurther(word, slot);
  }
  /** The word of the set without `slot`. Takes back `word`, which the caller must forget. */
  uint32_t without(uint32_t word, uint32_t slot) {
    if (isSingle(word)) return word == single(slot) ? kEmpty : word;
    return word == kEmpty ? word : withoutOneOfSeveral(word, slot);
  }
  bool contains(uint32_t word, uint32_t slot) const;
  /** `scratch` is where the piece of a single slot is put. Valid until a set changes. */
  Pieces pieces(uint32_t word, Piece& scratch) const;
  /** Bytes behind the words. */
  size_t bytes() const { return heap_bytes_ + sets_.bytes(); }

  static Piece piece(uint32_t slot) { return uint64_t{slot / 32} << 32 | 1ull << (slot % 32); }

private:
  struct Set {
    uint32_t references;
    std::vector<Piece> pieces;
  };
  /** The last change of a set: the next block of a run asks for the same. */
  struct Change {
    uint32_t from = kEmpty;
    uint32_t slot = 0;
    uint32_t to = kEmpty;
  };

  // Bit 0 set: one slot. Otherwise, above it, the id of a set, and one, because 0 is the empty set.
  static uint32_t single(uint32_t slot) { return slot << 1 | 1; }
  static bool isSingle(uint32_t word) { return (word & 1) != 0; }
  static uint32_t idOf(uint32_t word) { return (word >> 1) - 1; }
  static uint32_t wordOf(uint32_t id) { return (id + 1) << 1; }

  uint32_t withFurther(uint32_t word, uint32_t slot);
  uint32_t withoutOneOfSeveral(uint32_t word, uint32_t slot);
  uint32_t enter(std::vector<Piece> pieces);
  void retain(uint32_t word);
  void release(uint32_t word);

  /** Hash of the pieces → the set. Two sets with one hash are rare and harmless: the second takes the next number. */
  RunMap<Set*> sets_;
  size_t heap_bytes_ = 0;
  Change added_;
  Change removed_;
};

} // namespace dynamo_labs::index
