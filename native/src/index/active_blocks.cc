#include "active_blocks.h"

#include <algorithm>

namespace dynamo_labs::index {

namespace {

/** As in prefix_index.cc: places are brought into the cache before they are touched. */
constexpr size_t kBatch = 32;

} // namespace

void ActiveBlocks::acquire(uint32_t slot, const uint64_t* sequence, size_t count) {
  if (slot >= users_.size()) users_.resize(slot + 1);
  users_[slot].reserve(count);
  for (size_t start = 0; start < count; start += kBatch) {
    const size_t end = std::min(start + kBatch, count);
    prefetch(slot, sequence + start, end - start);
    for (size_t at = start; at < end; at++) {
      const auto [users, made] = users_[slot].insert(sequence[at]);
      (*users)++;
      if (made) holders_.hold(slot, sequence[at]);
    }
  }
}

void ActiveBlocks::release(uint32_t slot, const uint64_t* sequence, size_t count) {
  if (slot >= users_.size()) return;
  for (size_t start = 0; start < count; start += kBatch) {
    const size_t end = std::min(start + kBatch, count);
    prefetch(slot, sequence + start, end - start);
    for (size_t at = start; at < end; at++) {
      uint64_t* users = users_[slot].find(sequence[at]);
      if (users == nullptr || --*users > 0) continue;
      users_[slot].eraseAt(users);
      holders_.release(slot, sequence[at]);
    }
  }
}

void ActiveBlocks::prefetch(uint32_t slot, const uint64_t* sequence, size_t count) const {
  for (size_t at = 0; at < count; at++) {
    users_[slot].prefetch(sequence[at]);
    holders_.prefetch(sequence[at]);
  }
}

} // namespace dynamo_labs::index
