#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "tag_table.h"

namespace dynamo_labs::index {

/**
 * 64-bit key → small value, in the order in which keys came: those that came one after another lie side by side and have
 * ids in a row. KV blocks come, are asked for and go as runs, so the next key's id is guessed (`last` + 1, or - 1 for runs
 * that go from their end) and compared, and a table is searched only where the guess is wrong. Ids stay while their key does.
 *
 * Entries live in chunks of 64; an empty chunk gives its memory back, and holes are filled before a new one is made.
 * `2^kSegmentBits` tables grow one at a time, so that no insertion ever waits for a million entries to move.
 * Any key may be used. Values start as zero. Not thread-safe.
 */
template <class Value, unsigned kSegmentBits = 0> class RunMap {
  static_assert(std::is_trivially_copyable_v<Value>);

public:
  RunMap() = default;
  RunMap(RunMap&& other) noexcept { swap(other); }
  RunMap& operator=(RunMap&& other) noexcept {
    RunMap taken(std::move(other));
    swap(taken);
    return *this;
  }
  RunMap(const RunMap&) = delete;
  RunMap& operator=(const RunMap&) = delete;
  ~RunMap() { freeChunks(); }

  size_t size() const { return size_; }
  size_t bytes() const {
    size_t bytes = chunks_.capacity() * sizeof(Chunk*) + open_.capacity() * sizeof(uint32_t) + allocated_ * sizeof(Chunk);
    for (const TagTable& table : tables_) bytes += table.bytes();
    return bytes;
  }

  /** Brings what `find` and `insert` will look at towards the cache. */
  void prefetch(uint64_t key) const { table(key).prefetch(tagOf(key)); }

  /** Whether this id lives and has this key. Any id may be asked about. */
  bool isAt(uint32_t id, uint64_t key) const {
    const size_t chunk = id / kRun;
    return chunk < chunks_.size() && (chunks_[chunk]->used >> (id % kRun) & 1) != 0 && chunks_[chunk]->keys[id % kRun] == key;
  }
  bool isTagged(uint32_t id, uint32_t tag) const {
    const size_t chunk = id / kRun;
    return chunk < chunks_.size() && (chunks_[chunk]->used >> (id % kRun) & 1) != 0 && tagOf(chunks_[chunk]->keys[id % kRun]) == tag;
  }

  uint32_t find(uint64_t key) const { return table(key).find(tagOf(key), key, *this); }
  uint32_t guess(uint64_t key, uint32_t last) const { return isAt(last + 1, key) ? last + 1 : isAt(last - 1, key) ? last - 1 : kNoId; }

  /** The key's id, made if it was not there; the flag says whether it was made. */
  std::pair<uint32_t, bool> insert(uint64_t key, uint32_t last = kNoId) {
    if (isAt(last + 1, key)) return {last + 1, false};
    const auto inserted = table(key).insert(tagOf(key), key, *this, [&] { return allocate(key); });
    size_ += inserted.second ? 1 : 0;
    return inserted;
  }

  /** Room for `more` further keys in a map of one table. */
  void reserve(size_t more) {
    static_assert(kSegmentBits == 0);
    tables_[0].reserve(more, *this);
  }

  /** `id` lives. References are valid until the next `insert` or `erase`. */
  uint64_t key(uint32_t id) const { return chunks_[id / kRun]->keys[id % kRun]; }
  const Value& value(uint32_t id) const { return chunks_[id / kRun]->values[id % kRun]; }
  Value& value(uint32_t id) { return chunks_[id / kRun]->values[id % kRun]; }

  void erase(uint32_t id) {
    const uint32_t at = id / kRun;
    Chunk* chunk = chunks_[at];
    TagTable& entered = table(chunk->keys[id % kRun]);
    const bool was_full = chunk->used == kFull;
    chunk->used &= ~(1ull << (id % kRun));
    if (chunk->used == 0) {
      std::free(chunk);
      allocated_--;
      chunks_[at] = vacant();
    }
    if (was_full && at != current_) open_.push_back(at);
    if (--size_ == 0) *this = RunMap(); // what grew to a peak is given back
    else entered.died(*this);
  }

  template <class Visit> void forEach(Visit visit) const {
    for (const Chunk* chunk : chunks_) {
      for (uint64_t used = chunk->used; used != 0; used &= used - 1) {
        const int at = __builtin_ctzll(used);
        visit(chunk->keys[at], chunk->values[at]);
      }
    }
  }

private:
  static constexpr uint32_t kRun = 64;
  static constexpr uint64_t kFull = ~0ull;
  struct Chunk {
    uint64_t used;
    uint64_t keys[kRun];
    Value values[kRun];
  };

  /** Stands where a chunk is empty, so that looking needs no special case. Never written. */
  static Chunk* vacant() {
    static Chunk chunk{};
    return &chunk;
  }

  static uint32_t tagOf(uint64_t key) { return static_cast<uint32_t>(spread(key) << kSegmentBits >> 32); }
  const TagTable& table(uint64_t key) const { return tables_[segment(key)]; }
  TagTable& table(uint64_t key) { return tables_[segment(key)]; }
  static size_t segment(uint64_t key) {
    if constexpr (kSegmentBits == 0) return 0;
    else return static_cast<size_t>(spread(key) >> (64 - kSegmentBits));
  }

  uint32_t allocate(uint64_t key) {
    if (current_ == kNoId || chunks_[current_]->used == kFull) current_ = openChunk();
    if (chunks_[current_] == vacant()) {
      auto* made = static_cast<Chunk*>(std::malloc(sizeof(Chunk)));
      if (made == nullptr) throw std::bad_alloc();
      made->used = 0;
      allocated_++;
      chunks_[current_] = made;
    }
    Chunk* chunk = chunks_[current_];
    const auto at = static_cast<uint32_t>(__builtin_ctzll(~chunk->used));
    chunk->used |= 1ull << at;
    chunk->keys[at] = key;
    chunk->values[at] = Value{};
    return current_ * kRun + at;
  }

  uint32_t openChunk() {
    if (open_.empty()) {
      chunks_.push_back(vacant());
      open_.reserve(chunks_.capacity()); // so that removing never needs memory
      return static_cast<uint32_t>(chunks_.size() - 1);
    }
    const uint32_t chunk = open_.back();
    open_.pop_back();
    return chunk;
  }

  void freeChunks() {
    for (Chunk* chunk : chunks_) {
      if (chunk != vacant()) std::free(chunk);
    }
  }

  void swap(RunMap& other) noexcept {
    std::swap(chunks_, other.chunks_);
    std::swap(open_, other.open_);
    std::swap(current_, other.current_);
    std::swap(allocated_, other.allocated_);
    std::swap(size_, other.size_);
    std::swap(tables_, other.tables_);
  }

  std::vector<Chunk*> chunks_;
  /** Chunks with room, each once, without `current_`. */
  std::vector<uint32_t> open_;
  /** Where the next key goes. */
  uint32_t current_ = kNoId;
  size_t allocated_ = 0;
  size_t size_ = 0;
  std::array<TagTable, size_t{1} << kSegmentBits> tables_;
};

/** Looks up keys that probably came one after another, in lists of any length. The map must not change but by `erase` of what was found. */
template <class Map> class RunReader {
public:
  explicit RunReader(const Map& map) : map_(map) {}

  /** The id of `keys[index]`, or `kNoId`. Indexes are asked for in order. */
  uint32_t at(const uint64_t* keys, size_t count, size_t index) {
    if (index == 0) fetched_ = 0;
    uint32_t id = map_.guess(keys[index], last_);
    if (id == kNoId) {
      // One wrong guess is the end of a run; several mean that what follows is scattered, so it is brought nearer at once.
      if (++wrong_ > 2) {
        const size_t end = std::min(count, index + kAhead);
        for (fetched_ = std::max(fetched_, index + 1); fetched_ < end; fetched_++) map_.prefetch(keys[fetched_]);
      }
      id = map_.find(keys[index]);
    }
    if (id != kNoId) last_ = id;
    return id;
  }

private:
  /** Far enough ahead to hide a miss in main memory, near enough to stay in the first cache. */
  static constexpr size_t kAhead = 16;

  const Map& map_;
  uint32_t last_ = kNoId;
  size_t wrong_ = 0;
  size_t fetched_ = 0;
};

} // namespace dynamo_labs::index
