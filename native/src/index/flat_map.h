#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace dynamo_labs::index {

/**
 * 64-bit key → small value, in one array: linear probing, no tombstones, any capacity, given back when it empties.
 * Any key may be used. Not thread-safe. Pointers to values are valid until the next `insert` or `erase`.
 */
template <class Value> class FlatMap {
public:
  FlatMap() = default;
  FlatMap(FlatMap&&) noexcept = default;
  FlatMap& operator=(FlatMap&&) noexcept = default;
  FlatMap(const FlatMap&) = delete;
  FlatMap& operator=(const FlatMap&) = delete;

  size_t size() const { return size_ + (has_zero_ ? 1 : 0); }
  size_t bytes() const { return entries_.capacity() * sizeof(Entry); }

  /** Brings the key's place towards the cache; for callers that know their next keys. */
  void prefetch(uint64_t key) const {
    if (!entries_.empty()) __builtin_prefetch(&entries_[home(key)]);
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
    if (!fits(size_ + 1)) rehash(entries_.size() + entries_.size() / 2 + kSmallest);
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
    if (!fits(size_ + more)) rehash((size_ + more) * 3 / 2 + kSmallest);
  }

  bool erase(uint64_t key) {
    if (key == kEmpty) {
      if (!has_zero_) return false;
      has_zero_ = false;
      zero_ = Value();
      return true;
    }
    if (size_ == 0) return false;
    size_t hole = home(key);
    for (; entries_[hole].key != key; hole = next(hole)) {
      if (entries_[hole].key == kEmpty) return false;
    }
    // Later entries of the run move back over the hole, unless that would put them before their home.
    for (size_t at = next(hole); entries_[at].key != kEmpty; at = next(at)) {
      if (distance(home(entries_[at].key), at) < distance(hole, at)) continue;
      entries_[hole] = std::move(entries_[at]);
      hole = at;
    }
    entries_[hole] = Entry();
    size_--;
    if (entries_.size() > kKept && size_ * 4 < entries_.size()) rehash(size_ * 2 + kSmallest);
    return true;
  }

  template <class Visit> void forEach(Visit visit) const {
    if (has_zero_) visit(kEmpty, zero_);
    for (const Entry& entry : entries_) {
      if (entry.key != kEmpty) visit(entry.key, entry.value);
    }
  }

private:
  static constexpr uint64_t kEmpty = 0;
  static constexpr size_t kSmallest = 8;
  /** Up to here an emptied table stays: tables that fill and empty all the time should not move all the time. */
  static constexpr size_t kKept = 1024;
  struct Entry {
    uint64_t key = kEmpty;
    Value value{};
  };

  bool fits(size_t size) const { return size * 5 <= entries_.size() * 4; }

  /** Engine hashes may be small numbers in a row, so they are spread before the upper bits choose the place. */
  size_t home(uint64_t key) const {
    const uint64_t spread = (key ^ (key >> 32)) * 0x9e3779b97f4a7c15ull;
    return static_cast<size_t>((static_cast<unsigned __int128>(spread) * entries_.size()) >> 64);
  }
  size_t next(size_t at) const { return at + 1 == entries_.size() ? 0 : at + 1; }
  size_t distance(size_t from, size_t to) const { return to >= from ? to - from : to + entries_.size() - from; }

  void rehash(size_t capacity) {
    std::vector<Entry> old(capacity);
    old.swap(entries_);
    for (Entry& entry : old) {
      if (entry.key == kEmpty) continue;
      size_t at = home(entry.key);
      while (entries_[at].key != kEmpty) at = next(at);
      entries_[at] = std::move(entry);
    }
  }

  std::vector<Entry> entries_;
  size_t size_ = 0;
  bool has_zero_ = false;
  Value zero_{};
};

} // namespace dynamo_labs::index
