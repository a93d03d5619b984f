#include "active_blocks.h"

#include <algorithm>

namespace dynamo_labs::index {

namespace {

/** As in prefix_index.cc: places are brought into the cache before they are touched. */
constexpr size_t kBatch = 32;

} // namespace

void ActiveBlocks::acquire(uint32_t slot, const uint64_t* sequence, size_t count) {
  if (slot >= users_.size()) users_.resize(slot + 1);
  RunMap<uint32_t>& users = users_[slot];
  uint32_t last_used = kNoId;
  uint32_t last_held = kNoId;
  for (size_t start = 0; start < count; start += kBatch) {
    const size_t end = std::min(start + kBatch, count);
    for (size_t at = start; at < end; at++) {
      users.prefetch(sequence[at]);
      holders_.prefetch(sequence[at]);
    }
    for (size_t at = start; at < end; at++) {
      const auto [id, made] = users.insert(sequence[at], last_used);
      users.value(id)++;
      last_used = id;
      if (made) last_held = holders_.hold(slot, sequence[at], last_held);
    }
  }
}

void ActiveBlocks::release(uint32_t slot, const uint64_t* sequence, size_t count) {
  if (slot >= users_.size()) return;
  RunMap<uint32_t>& users = users_[slot];
  RunReader<RunMap<uint32_t>> reader(users);
  auto held = holders_.reader();
  uint64_t unused[kBatch];
  for (size_t start = 0; start < count; start += kBatch) {
    const size_t end = std::min(start + kBatch, count);
    size_t freed = 0;
    for (size_t at = start; at < end; at++) {
      const uint32_t id = reader.at(sequence, count, at);
      if (id == kNoId || --users.value(id) > 0) continue;
      users.erase(id);
      unused[freed++] = sequence[at];
    }
    holders_.release(slot, unused, freed, held);
  }
}

} // namespace dynamo_labs::index
