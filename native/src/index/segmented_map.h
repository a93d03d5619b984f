#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "flat_map.h"

namespace dynamo_labs::index {

/**
 * A `FlatMap` for many entries, in parts that grow one at a time: no insertion ever waits for a million entries to move,
 * and what moves is still in the cache.
 */
template <class Value> class SegmentedMap {
public:
  size_t size() const { return sum([](const Segment& segment) { return segment.size(); }); }
  size_t bytes() const { return sizeof(*this) + sum([](const Segment& segment) { return segment.bytes(); }); }
  void prefetch(uint64_t key) const { segment(key).prefetch(key); }
  const Value* find(uint64_t key) const { return segment(key).find(key); }
  Value* find(uint64_t key) { return segment(key).find(key); }
  std::pair<Value*, bool> insert(uint64_t key) { return segment(key).insert(key); }
  /** Erases the entry of `key`, whose value `find` returned. */
  void eraseAt(uint64_t key, Value* value) { segment(key).eraseAt(value); }

private:
  static constexpr unsigned kBits = 6;
  using Segment = FlatMap<Value, kBits>;

  const Segment& segment(uint64_t key) const { return segments_[spread(key) >> (64 - kBits)]; }
  Segment& segment(uint64_t key) { return segments_[spread(key) >> (64 - kBits)]; }
  template <class Measure> size_t sum(Measure measure) const {
    size_t total = 0;
    for (const Segment& segment : segments_) total += measure(segment);
    return total;
  }

  std::array<Segment, size_t{1} << kBits> segments_;
};

} // namespace dynamo_labs::index
