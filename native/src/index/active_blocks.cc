#include "active_blocks.h"

#include <algorithm>

namespace dynamo_labs::index {

namespace {

size_t commonLength(const std::vector<uint64_t>& blocks, const uint64_t* sequence, size_t count) {
  const size_t length = std::min(blocks.size(), count);
  return static_cast<size_t>(std::mismatch(blocks.begin(), blocks.begin() + static_cast<ptrdiff_t>(length), sequence).first - blocks.begin());
}

} // namespace

uint32_t ActiveBlocks::acquire(uint32_t slot, const uint64_t* sequence, size_t count) {
  if (slot >= counts_.size()) counts_.resize(slot + 1);
  uint32_t end = kNoId;
  for (size_t depth = 0; depth < count;) {
    uint32_t child = childOf(end, sequence[depth]);
    if (child == kNoId) {
      end = makeSegment(end, sequence + depth, count - depth);
      break;
    }
    const size_t common = commonLength(segments_[child].blocks, sequence + depth, count - depth);
    if (common < segments_[child].blocks.size()) child = split(child, common);
    depth += common;
    end = child;
  }
  for (uint32_t id = end; id != kNoId; id = segments_[id].parent) use(slot, id);
  return end;
}

void ActiveBlocks::release(uint32_t slot, uint32_t end) {
  for (uint32_t id = end; id < segments_.size();) {
    const uint32_t parent = segments_[id].parent;
    if (!disuse(slot, id)) return;
    id = parent;
  }
}

void ActiveBlocks::sharedPrefix(const uint64_t* sequence, size_t count, uint32_t* shared, size_t slots) const {
  std::fill(shared, shared + slots, 0);
  uint32_t end = kNoId;
  for (size_t depth = 0; depth < count;) {
    end = childOf(end, sequence[depth]);
    if (end == kNoId) return;
    const Segment& segment = segments_[end];
    const size_t common = commonLength(segment.blocks, sequence + depth, count - depth);
    depth += common;
    for (const auto [slot, requests] : segment.users) {
      if (slot < slots) shared[slot] = static_cast<uint32_t>(depth);
    }
    if (common < segment.blocks.size()) return;
  }
}

uint32_t ActiveBlocks::childOf(uint32_t parent, uint64_t block) const {
  const uint32_t found = children_.find(keyOf(parent, block));
  if (found == kNoId) return kNoId;
  const Segment& segment = segments_[children_.value(found)];
  return segment.parent == parent && segment.blocks[0] == block ? children_.value(found) : kNoId;
}

uint32_t ActiveBlocks::makeSegment(uint32_t parent, const uint64_t* blocks, size_t count) {
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(segments_.size()));
    segments_.emplace_back();
  }
  const uint32_t id = free_.back();
  free_.pop_back();
  spare_ -= segments_[id].blocks.capacity();
  segments_[id].parent = parent;
  segments_[id].blocks.assign(blocks, blocks + count);
  children_.value(children_.insert(keyOf(parent, blocks[0])).first) = id;
  return id;
}

uint32_t ActiveBlocks::split(uint32_t id, size_t length) {
  std::vector<uint64_t> blocks = std::move(segments_[id].blocks);
  const uint32_t upper = makeSegment(segments_[id].parent, blocks.data(), length);
  Segment& lower = segments_[id];
  segments_[upper].users = lower.users;
  blocks.erase(blocks.begin(), blocks.begin() + static_cast<ptrdiff_t>(length));
  lower.blocks = std::move(blocks);
  lower.parent = upper;
  children_.value(children_.insert(keyOf(upper, lower.blocks[0])).first) = id;
  return upper;
}

void ActiveBlocks::use(uint32_t slot, uint32_t id) {
  Segment& segment = segments_[id];
  for (Users& users : segment.users) {
    if (users.slot != slot) continue;
    users.requests++;
    return;
  }
  segment.users.push_back({slot, 1});
  counts_[slot] += segment.blocks.size();
}

bool ActiveBlocks::disuse(uint32_t slot, uint32_t id) {
  Segment& segment = segments_[id];
  const auto users = std::find_if(segment.users.begin(), segment.users.end(), [&](const Users& of) { return of.slot == slot; });
  if (users == segment.users.end()) return false;
  if (--users->requests > 0) return true;
  counts_[slot] -= segment.blocks.size();
  *users = segment.users.back();
  segment.users.pop_back();
  if (!segment.users.empty()) return true;
  const uint32_t found = children_.find(keyOf(segment.parent, segment.blocks[0]));
  if (found != kNoId) children_.erase(found);
  discard(id);
  return true;
}

void ActiveBlocks::discard(uint32_t id) {
  Segment& segment = segments_[id];
  segment.blocks.clear();
  segment.users.clear();
  if (spare_ + segment.blocks.capacity() > kSpare) segment = Segment();
  spare_ += segment.blocks.capacity();
  free_.push_back(id);
}

} // namespace dynamo_labs::index
