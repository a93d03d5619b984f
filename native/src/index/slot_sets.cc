#include "slot_sets.h"

#include <algorithm>
#include <memory>

namespace dynamo_labs::index {

namespace {

uint64_t hashOf(const std::vector<SlotSets::Piece>& pieces) {
  uint64_t hash = pieces.size();
  for (const SlotSets::Piece piece : pieces) {
    hash = (hash ^ piece) * 0xff51afd7ed558ccdull;
    hash ^= hash >> 32;
  }
  return hash;
}

bool before(SlotSets::Piece piece, SlotSets::Piece other) { return piece >> 32 < other >> 32; }

} // namespace

SlotSets::~SlotSets() {
  sets_.forEach([](uint64_t, Set* set) { delete set; });
}

bool SlotSets::contains(uint32_t word, uint32_t slot) const {
  Piece scratch = 0;
  const auto [data, count] = pieces(word, scratch);
  const Piece asked = piece(slot);
  const Piece* found = std::lower_bound(data, data + count, asked, before);
  return found != data + count && *found >> 32 == asked >> 32 && (*found & asked & UINT32_MAX) != 0;
}

SlotSets::Pieces SlotSets::pieces(uint32_t word, Piece& scratch) const {
  if (word == kEmpty) return {nullptr, 0};
  if (isSingle(word)) {
    scratch = piece(word >> 1);
    return {&scratch, 1};
  }
  const std::vector<Piece>& pieces = sets_.value(idOf(word))->pieces;
  return {pieces.data(), pieces.size()};
}

uint32_t SlotSets::withFurther(uint32_t word, uint32_t slot) {
  if (added_.from != word || added_.slot != slot) {
    if (contains(word, slot)) return word;
    Piece scratch = 0;
    const auto [data, count] = pieces(word, scratch);
    std::vector<Piece> made;
    made.reserve(count + 1);
    made.assign(data, data + count);
    const auto at = std::lower_bound(made.begin(), made.end(), piece(slot), before);
    if (at != made.end() && *at >> 32 == piece(slot) >> 32) *at |= piece(slot);
    else made.insert(at, piece(slot));
    const uint32_t to = enter(std::move(made));
    added_ = {word, slot, to};
  }
  const uint32_t to = added_.to;
  retain(to);
  release(word);
  return to;
}

uint32_t SlotSets::withoutOneOfSeveral(uint32_t word, uint32_t slot) {
  if (removed_.from != word || removed_.slot != slot) {
    if (!contains(word, slot)) return word;
    std::vector<Piece> made = sets_.value(idOf(word))->pieces;
    const auto at = std::lower_bound(made.begin(), made.end(), piece(slot), before);
    *at &= ~(piece(slot) & UINT32_MAX);
    if ((*at & UINT32_MAX) == 0) made.erase(at);
    const bool one = made.size() == 1 && __builtin_popcountll(made[0] & UINT32_MAX) == 1;
    const uint32_t to = one ? single(static_cast<uint32_t>((made[0] >> 32) * 32 + __builtin_ctzll(made[0]))) : enter(std::move(made));
    removed_ = {word, slot, to};
  }
  const uint32_t to = removed_.to;
  retain(to);
  release(word);
  return to;
}

/** The word of a set with these pieces, which nobody holds yet if it is new. */
uint32_t SlotSets::enter(std::vector<Piece> pieces) {
  for (uint64_t hash = hashOf(pieces);; hash++) {
    const auto [id, made] = sets_.insert(hash);
    if (!made && sets_.value(id)->pieces != pieces) continue;
    if (made) {
      heap_bytes_ += sizeof(Set) + pieces.capacity() * sizeof(Piece);
      sets_.value(id) = new Set{0, std::move(pieces)};
    }
    return wordOf(id);
  }
}

void SlotSets::retain(uint32_t word) {
  if (!isSingle(word)) sets_.value(idOf(word))->references++;
}

void SlotSets::release(uint32_t word) {
  if (isSingle(word) || --sets_.value(idOf(word))->references > 0) return;
  const std::unique_ptr<Set> set(sets_.value(idOf(word)));
  heap_bytes_ -= sizeof(Set) + set->pieces.capacity() * sizeof(Piece);
  sets_.erase(idOf(word));
  // Its id may come back for another set.
  for (Change* change : {&added_, &removed_}) {
    if (change->from == word || change->to == word) *change = {};
  }
}

} // namespace dynamo_labs::index
