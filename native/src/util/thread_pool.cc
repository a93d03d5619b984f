#include "thread_pool.h"

namespace dynamo_labs {

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; i++) helpers_.emplace_back([this, i] { help(i); });
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  round_.fetch_add(1);
  round_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void ThreadPool::run(int count, const std::function<void(int, int)>& body) {
  body_ = &body;
  count_ = count;
  next_ = 0;
  if (helpers_.empty() || count < 2) return work(0);
  busy_ = static_cast<int>(helpers_.size());
  round_.fetch_add(1);
  round_.notify_all();
  work(0);
  for (int busy = busy_; busy != 0; busy = busy_) busy_.wait(busy);
}

void ThreadPool::work(int thread) {
  for (int i = next_++; i < count_; i = next_++) (*body_)(i, thread);
}

void ThreadPool::help(int thread) {
  for (uint32_t seen = 0;; seen++) {
    round_.wait(seen);
    if (stop_) return;
    work(thread);
    if (busy_.fetch_sub(1) == 1) busy_.notify_one();
  }
}

} // namespace dynamo_labs
