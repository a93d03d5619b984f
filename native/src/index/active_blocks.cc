#include "active_blocks.h"

namespace dynamo_labs::index {

void ActiveBlocks::acquire(uint32_t slot, const uint64_t* sequence, size_t count) {
  if (slot >= users_.size()) users_.resize(slot + 1);
  users_[slot].reserve(count);
  for (size_t at = 0; at < count; at++) {
    const auto [users, made] = users_[slot].insert(sequence[at]);
    (*users)++;
    if (made) holders_.hold(slot, sequence[at]);
  }
}

void ActiveBlocks::release(uint32_t slot, const uint64_t* sequence, size_t count) {
  if (slot >= users_.size()) return;
  for (size_t at = 0; at < count; at++) {
    uint64_t* users = users_[slot].find(sequence[at]);
    if (users == nullptr || --*users > 0) continue;
    users_[slot].erase(sequence[at]);
    holders_.release(slot, sequence[at]);
  }
}

} // namespace dynamo_labs::index
