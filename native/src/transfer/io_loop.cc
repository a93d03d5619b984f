#include "io_loop.h"

#include <algorithm>

#include "monotonic.h"

namespace dynamo_labs::transfer {

void IoLoop::adopt(std::shared_ptr<LoopMember> member) {
  load_++;
  members_.push_back(std::move(member));
  members_.back()->onAdopted();
}

void IoLoop::send(std::shared_ptr<LoopMember> member) {
  load_++;
  poller.post([this, member = std::move(member)]() mutable {
    load_--;
    adopt(std::move(member));
  });
}

std::shared_ptr<LoopMember> IoLoop::release(const LoopMember* member) {
  const auto at = std::find_if(members_.begin(), members_.end(), [member](const auto& one) { return one.get() == member; });
  if (at == members_.end()) return nullptr;
  std::shared_ptr<LoopMember> kept = std::move(*at);
  members_.erase(at);
  load_--;
  return kept;
}

int64_t IoLoop::tick(int64_t now, bool busy) {
  int64_t due = kNever;
  for (size_t i = 0; i < members_.size(); i++) {
    due = std::min(due, members_[i]->tick(now));
    busy |= members_[i]->busy();
  }
  poller.setBusy(busy);
  load_ -= std::erase_if(members_, [](const auto& member) { return member->over(); });
  return due;
}

void IoLoop::clear() {
  poller.forget();
  members_.clear();
  load_ = 0;
}

} // namespace dynamo_labs::transfer
