#include "bulk_threads.h"

#include <sys/prctl.h>

#include <system_error>

#include "monotonic.h"

namespace dynamo_labs::transfer {

IoLoop* BulkThreads::loop(size_t index) {
  std::unique_ptr<BulkThread>& one = threads_[index % threads_.size()];
  if (one) return &one->loop;
  try {
    auto made = std::make_unique<BulkThread>();
    made->thread = std::thread([&self = *made] {
      prctl(PR_SET_NAME, "kv-transfer-blk");
      for (int64_t due = kNever; !self.stopping; due = self.loop.tick(nowNs())) self.loop.poller.run(due);
    });
    one = std::move(made);
  } catch (const std::system_error&) { // no more threads or descriptors: the IO thread has to do
    return nullptr;
  }
  return &one->loop;
}

IoLoop* BulkThreads::leastLoaded() {
  const auto load = [this](size_t index) { return threads_[index] ? threads_[index]->loop.load() : 0; };
  size_t best = (last_ + 1) % threads_.size();
  for (size_t i = 2; i <= threads_.size(); i++)
    if (const size_t other = (last_ + i) % threads_.size(); load(other) < load(best)) best = other;
  last_ = best;
  return loop(best);
}

void BulkThreads::stop() {
  for (const auto& one : threads_) {
    if (!one) continue;
    one->stopping = true;
    one->loop.poller.post([] {});
  }
  for (const auto& one : threads_)
    if (one && one->thread.joinable()) one->thread.join();
}

void BulkThreads::clear() {
  for (const auto& one : threads_)
    if (one) one->loop.clear();
}

} // namespace dynamo_labs::transfer
