#include "prefix_index.h"

#include <algorithm>

#include "block_hash.h"

namespace dynamo_labs::index {

namespace {

/** Blocks whose places are brought into the cache before they are touched: their misses then overlap instead of adding up. */
constexpr size_t kBatch = 32;

/** Dynamo #4394: such an event once ended its indexer for every later request. */
bool namesItselfAsParent(std::optional<uint64_t> parent, const uint64_t* engine, size_t count) {
  if (count > 0 && parent == engine[0]) return true;
  for (size_t at = 1; at < count; at++) {
    if (engine[at] == engine[at - 1]) return true;
  }
  return false;
}

} // namespace

StoreStatus PrefixIndex::store(uint32_t slot, std::optional<uint64_t> parent, const uint64_t* engine, const uint64_t* local, size_t count,
                               std::optional<uint64_t> parent_sequence) {
  if (namesItselfAsParent(parent, engine, count)) return StoreStatus::kSelfParent;
  std::optional<uint64_t> previous;
  if (parent) {
    previous = sequenceOf(slot, *parent);
    if (!previous) previous = parent_sequence;
    if (!previous) return StoreStatus::kOrphan;
  }
  if (slot >= known_.size()) known_.resize(slot + 1);
  RunMap<uint64_t>& known = known_[slot];
  known.reserve(count);
  uint64_t sequences[kBatch];
  uint32_t last_known = kNoId;
  uint32_t last_held = kNoId;
  for (size_t start = 0; start < count; start += kBatch) {
    const size_t end = std::min(start + kBatch, count);
    for (size_t at = start; at < end; at++) {
      previous = previous ? sequenceHash(*previous, local[at]) : local[at];
      sequences[at - start] = *previous;
      holders_.prefetch(*previous);
      known.prefetch(engine[at]);
    }
    for (size_t at = start; at < end; at++) {
      const uint64_t sequence = sequences[at - start];
      const auto [id, made] = known.insert(engine[at], last_known);
      if (!made && known.value(id) != sequence) holders_.release(slot, known.value(id));
      known.value(id) = sequence;
      last_known = id;
      last_held = holders_.hold(slot, sequence, last_held);
    }
  }
  return StoreStatus::kOk;
}

size_t PrefixIndex::remove(uint32_t slot, const uint64_t* engine, size_t count) {
  if (slot >= known_.size()) return count;
  RunMap<uint64_t>& known = known_[slot];
  RunReader<RunMap<uint64_t>> reader(known);
  auto held = holders_.reader();
  size_t missing = 0;
  uint64_t sequences[kBatch];
  for (size_t start = 0; start < count; start += kBatch) {
    const size_t end = std::min(start + kBatch, count);
    size_t found = 0;
    for (size_t at = start; at < end; at++) {
      const uint32_t id = reader.at(engine, count, at);
      if (id == kNoId) {
        missing++;
        continue;
      }
      sequences[found++] = known.value(id);
      known.erase(id);
    }
    holders_.release(slot, sequences, found, held);
  }
  return missing;
}

size_t PrefixIndex::clear(uint32_t slot) {
  if (slot >= known_.size()) return 0;
  const size_t before = holders_.holdings();
  known_[slot].forEach([&](uint64_t, uint64_t sequence) { holders_.release(slot, sequence); });
  known_[slot] = RunMap<uint64_t>();
  return before - holders_.holdings();
}

size_t PrefixIndex::matchFrom(uint32_t slot, const uint64_t* sequence, size_t count, size_t start) const {
  size_t end = start;
  while (end < count && holders_.has(slot, sequence[end])) end++;
  return end - start;
}

std::optional<uint64_t> PrefixIndex::sequenceOf(uint32_t slot, uint64_t engine) const {
  const uint32_t id = slot < known_.size() ? known_[slot].find(engine) : kNoId;
  return id == kNoId ? std::nullopt : std::optional<uint64_t>(known_[slot].value(id));
}

size_t PrefixIndex::bytes() const {
  size_t bytes = holders_.bytes() + known_.capacity() * sizeof(RunMap<uint64_t>);
  for (const auto& known : known_) bytes += known.bytes();
  return bytes;
}

} // namespace dynamo_labs::index
