#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace dynamo_labs::index {

/** Engine hashes may be small numbers in a row, so they are spread before their upper bits choose a place. */
inline uint64_t spread(uint64_t key) { return (key ^ (key >> 32)) * 0x9e3779b97f4a7c15ull; }

/**
 * 64-bit key → small value, in one array: linear probing, no tombstones, any capacity, given back when it empties.
 * Any key may be used. Not thread-safe. Pointers to values are valid until the next `insert`, `reserve` or `erase`.
 *
 * `Value` must be all zero bytes when default-made, and may be moved by copying its bytes.
 * `kSkippedBits` of the spread key are the same for all keys, because a `SegmentedMap` has chosen this table by them.
 */
template <class Value, unsigned kSkippedBits = 0> class FlatMap {
public:
  FlatMap() = default;
  FlatMap(FlatMap&& other) noexcept { swap(other); }
  FlatMap& operator=(FlatMap&& other) noexcept {
    FlatMap taken(std::move(other));
    swap(taken);
    return *this;
  }
  FlatMap(const FlatMap&) = delete;
  FlatMap& operator=(const FlatMap&) = delete;
  ~FlatMap() {
    for (size_t at = 0; at < capacity_; at++) {
      if (entries_[at].key != kEmpty) entries_[at].value.~Value();
    }
    std::free(entries_);
  }

  size_t size() const { return size_ + (has_zero_ ? 1 : 0); }
  size_t bytes() const { return capacity_ * sizeof(Entry); }

  /** Brings the key's place towards the cache; for callers that know their next keys. */
  void prefetch(uint64_t key) const {
    if (capacity_ != 0) __builtin_prefetch(&entries_[home(key)]);
  }

  const Value* find(uint64_t key) const {
    if (key == kEmpty) return has_zero_ ? &zero_ : nullptr;
    if (size_ == 0) return nullptr;
    for (size_t at = home(key);; at = next(at)) {
      if (entries_[at].key == key) return &entries_[at].value;
      if (entries_[at].key == kEmpty) return nullptr;
    }
  }
  Value* find(uint64_t key) { return const_cast<Value*>(std::as_const(*this).find(key)); }

  /** The key's value, made if it was not there; the flag says whether it was made. */
  std::pair<Value*, bool> insert(uint64_t key) {
    if (key == kEmpty) {
      const bool made = !has_zero_;
      has_zero_ = true;
      return {&zero_, made};
    }
    if (!fits(size_ + 1)) rehash(grown());
    for (size_t at = home(key);; at = next(at)) {
      if (entries_[at].key == key) return {&entries_[at].value, false};
      if (entries_[at].key != kEmpty) continue;
      entries_[at].key = key;
      size_++;
      return {&entries_[at].value, true};
    }
  }

  /** Room for `more` further keys at once: one move of the entries instead of several. */
  void reserve(size_t more) {
    // Not less than the usual growth, or many small additions would move all entries each time.
    if (!fits(size_ + more)) rehash(std::max(grown(), (size_ + more) * 3 / 2));
  }

  bool erase(uint64_t key) {
    Value* found = find(key);
    if (found != nullptr) eraseAt(found);
    return found != nullptr;
  }

  /** Erases the entry whose value `find` returned. */
  void eraseAt(Value* value) {
    if (value == &zero_) {
      has_zero_ = false;
      zero_ = Value();
      return;
    }
    value->~Value();
    Entry* const first = entries_;
    size_t hole = static_cast<size_t>(reinterpret_cast<Entry*>(reinterpret_cast<char*>(value) - offsetof(Entry, value)) - first);
    // Later entries of the run move back over the hole, unless that would put them before their home.
    for (size_t at = next(hole); first[at].key != kEmpty; at = next(at)) {
      if (distance(home(first[at].key), at) < distance(hole, at)) continue;
      relocate(first[at], first[hole]);
      hole = at;
    }
    std::memset(static_cast<void*>(&first[hole]), 0, sizeof(Entry));
    size_--;
    if (capacity_ > kKept && size_ * 4 < capacity_) rehash(size_ * 2 + kSmallest);
  }

  template <class Visit> void forEach(Visit visit) const {
    if (has_zero_) visit(kEmpty, zero_);
    for (size_t at = 0; at < capacity_; at++) {
      if (entries_[at].key != kEmpty) visit(entries_[at].key, entries_[at].value);
    }
  }

private:
  static constexpr uint64_t kEmpty = 0;
  static constexpr size_t kSmallest = 8;
  /** Up to here an emptied table stays: tables that fill and empty all the time should not move all the time. */
  static constexpr size_t kKept = 256;
  /** Small tables grow fast, large ones by half: memory per entry is what counts there. */
  static constexpr size_t kDoubling = 4096;
  struct Entry {
    uint64_t key;
    Value value;
  };

  /** At three quarters full, a missing key is found missing after some eight looks, most of them in one cache line. */
  bool fits(size_t size) const { return size * 4 <= capacity_ * 3; }

  size_t grown() const { return capacity_ < kDoubling ? capacity_ * 2 + kSmallest : capacity_ * 3 / 2; }

  size_t home(uint64_t key) const { return static_cast<size_t>((static_cast<unsigned __int128>(spread(key) << kSkippedBits) * capacity_) >> 64); }
  size_t next(size_t at) const { return at + 1 == capacity_ ? 0 : at + 1; }
  size_t distance(size_t from, size_t to) const { return to >= from ? to - from : to + capacity_ - from; }

  static void relocate(const Entry& from, Entry& to) { std::memcpy(static_cast<void*>(&to), static_cast<const void*>(&from), sizeof(Entry)); }

  /** Homes keep their order at every capacity, so old and new array are both walked from front to back. */
  void rehash(size_t capacity) {
    auto* made = static_cast<Entry*>(std::calloc(capacity, sizeof(Entry)));
    if (made == nullptr) throw std::bad_alloc();
    Entry* old = std::exchange(entries_, made);
    const size_t old_capacity = std::exchange(capacity_, capacity);
    for (size_t from = 0; from < old_capacity; from++) {
      if (old[from].key == kEmpty) continue;
      size_t at = home(old[from].key);
      while (entries_[at].key != kEmpty) at = next(at);
      relocate(old[from], entries_[at]);
    }
    std::free(old);
  }

  void swap(FlatMap& other) noexcept {
    std::swap(entries_, other.entries_);
    std::swap(capacity_, other.capacity_);
    std::swap(size_, other.size_);
    std::swap(has_zero_, other.has_zero_);
    std::swap(zero_, other.zero_);
  }

  Entry* entries_ = nullptr;
  size_t capacity_ = 0;
  size_t size_ = 0;
  bool has_zero_ = false;
  Value zero_{};
};

} // namespace dynamo_labs::index
