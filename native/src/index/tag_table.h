#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace dynamo_labs::index {

/** Engine hashes may be small numbers in a row, so they are spread before their upper bits choose a place. */
inline uint64_t spread(uint64_t key) { return (key ^ (key >> 32)) * 0x9e3779b97f4a7c15ull; }

/** The id of nothing. */
inline constexpr uint32_t kNoId = UINT32_MAX;

/**
 * Finds ids by 64-bit keys that their owner keeps: an id and a 32-bit tag of its key per entry, seven entries to a cache
 * line, and what does not fit in the next line. Deleting is lazy: the owner says of an id that it is dead, and its entry
 * stays until somebody needs the room, or until hardly any other is left. An entry whose id has been given to
 * another key is dead, too.
 *
 * `Owner` answers `isAt(id, key)`, whether the id lives and has this key, and `isTagged(id, tag)`, whether it lives and its
 * key has this tag. Both may be asked about any id that was ever entered. Not thread-safe.
 */
class TagTable {
public:
  TagTable() = default;
  TagTable(TagTable&& other) noexcept { swap(other); }
  TagTable& operator=(TagTable&& other) noexcept {
    TagTable taken(std::move(other));
    swap(taken);
    return *this;
  }
  TagTable(const TagTable&) = delete;
  TagTable& operator=(const TagTable&) = delete;
  ~TagTable() { std::free(lines_); }

  size_t bytes() const { return count_ * sizeof(Line); }

  /** Brings the tag's place towards the cache; for callers that know their next keys. */
  void prefetch(uint32_t tag) const { __builtin_prefetch(lines_ + home(tag)); }

  template <class Owner> uint32_t find(uint32_t tag, uint64_t key, const Owner& owner) const {
    if (live_ == 0) return kNoId;
    for (size_t at = home(tag);; at = next(at)) {
      const Line& line = lines_[at];
      for (uint32_t found = line.with(tag); found != 0; found &= found - 1) {
        const uint32_t id = line.ids[__builtin_ctz(found)];
        if (owner.isAt(id, key)) return id;
      }
      if (line.used < Line::kRoom) return kNoId;
    }
  }

  /** The key's id, or one that `make()` gives; the flag says whether it was made. */
  template <class Owner, class Make> std::pair<uint32_t, bool> insert(uint32_t tag, uint64_t key, const Owner& owner, Make make) {
    if (!fits(occupied_ + 1)) rebuild(live_ * 2 + kSmallest, owner);
    uint32_t* dead = nullptr;
    size_t at = home(tag);
    for (;; at = next(at)) {
      Line& line = lines_[at];
      for (uint32_t found = line.with(tag); found != 0; found &= found - 1) {
        uint32_t* id = &line.ids[__builtin_ctz(found)];
        if (owner.isAt(*id, key)) return {*id, false};
        // An entry of this very key must not stay behind, or there would be two of it when the id comes back to it.
        if (!owner.isTagged(*id, tag)) dead = id;
      }
      if (line.used < Line::kRoom) break;
    }
    const uint32_t id = make();
    live_++;
    if (dead != nullptr) *dead = id;
    else append(lines_[at], tag, id);
    return {id, true};
  }

  /** Room for `more` further keys at once: one move of the entries instead of several. */
  template <class Owner> void reserve(size_t more, const Owner& owner) {
    // Not less than the usual growth, or many small additions would move all entries each time.
    if (!fits(occupied_ + more)) rebuild(std::max<size_t>(live_ * 2, (live_ + more) * 3 / 2) + kSmallest, owner);
  }

  /** One of the ids entered is dead from now on. */
  template <class Owner> void died(const Owner& owner) {
    live_--;
    if (count_ > kKept && live_ * 8 < count_) rebuild(live_ * 2 + kSmallest, owner);
  }

private:
  static constexpr size_t kSmallest = 8;
  /** Up to so many lines an emptied table stays: tables that fill and empty all the time should not move all the time. */
  static constexpr size_t kKept = 64;

  struct alignas(64) Line {
    static constexpr uint32_t kRoom = 7;
    uint32_t used;
    uint32_t tags[kRoom];
    uint32_t ids[kRoom];
    uint32_t unused;

    /** The entries with this tag, as bits. */
    uint32_t with(uint32_t tag) const {
      const uint32_t mask = (1u << used) - 1;
#if defined(__SSE2__)
      const auto* four = reinterpret_cast<const __m128i*>(this);
      const __m128i wanted = _mm_set1_epi32(static_cast<int>(tag));
      const int low = _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(_mm_load_si128(four), wanted)));
      const int high = _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(_mm_load_si128(four + 1), wanted)));
      return static_cast<uint32_t>(low | high << 4) >> 1 & mask;
#else
      uint32_t found = 0;
      for (uint32_t at = 0; at < kRoom; at++) found |= (tags[at] == tag ? 1u : 0u) << at;
      return found & mask;
#endif
    }
  };
  static_assert(sizeof(Line) == 64);

  /** At three quarters full, most lines have room. */
  bool fits(size_t entries) const { return entries * 4 <= count_ * Line::kRoom * 3; }
  size_t home(uint32_t tag) const { return static_cast<size_t>((uint64_t{tag} * count_) >> 32); }
  size_t next(size_t at) const { return at + 1 == count_ ? 0 : at + 1; }

  void append(Line& line, uint32_t tag, uint32_t id) {
    line.tags[line.used] = tag;
    line.ids[line.used++] = id;
    occupied_++;
  }

  /** Homes keep their order at every size, so old and new lines are both walked from front to back. Dead entries stay behind. */
  template <class Owner> void rebuild(size_t entries, const Owner& owner) {
    const size_t count = entries / Line::kRoom + 1;
    auto* made = static_cast<Line*>(std::aligned_alloc(alignof(Line), count * sizeof(Line)));
    if (made == nullptr) throw std::bad_alloc();
    std::memset(static_cast<void*>(made), 0, count * sizeof(Line));
    Line* old = std::exchange(lines_, made);
    const size_t old_count = std::exchange(count_, count);
    const bool all_live = occupied_ == live_;
    occupied_ = 0;
    for (size_t from = 0; from < old_count; from++) {
      for (uint32_t entry = 0; entry < old[from].used; entry++) {
        const uint32_t tag = old[from].tags[entry];
        const uint32_t id = old[from].ids[entry];
        if (!all_live && !owner.isTagged(id, tag)) continue;
        size_t at = home(tag);
        while (lines_[at].used == Line::kRoom) at = next(at);
        append(lines_[at], tag, id);
      }
    }
    std::free(old);
  }

  void swap(TagTable& other) noexcept {
    std::swap(lines_, other.lines_);
    std::swap(count_, other.count_);
    std::swap(occupied_, other.occupied_);
    std::swap(live_, other.live_);
  }

  Line* lines_ = nullptr;
  size_t count_ = 0;
  /** Entries; `live_` of them are of ids that live. */
  size_t occupied_ = 0;
  size_t live_ = 0;
};

} // namespace dynamo_labs::index
