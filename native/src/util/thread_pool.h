#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace dynamo_labs {

/**
 * Runs one loop at a time on the calling thread and `threads - 1` helpers. Helpers sleep between loops (they never spin: workers share cores).
 * Thread contract: `run` is called from one thread at a time.
 */
class ThreadPool {
public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(helpers_.size()) + 1; }
  /** Calls body(i, thread) for every i in [0, count), in no particular order; returns when all are done. `body` must not throw. */
  void run(int count, const std::function<void(int, int)>& body);

private:
  void help(int thread);
  void work(int thread);

  std::vector<std::thread> helpers_;
  const std::function<void(int, int)>* body_ = nullptr;
  int count_ = 0;
  std::atomic<int> next_{0};
  std::atomic<uint32_t> round_{0};
  std::atomic<int> busy_{0};
  std::atomic<bool> stop_{false};
};

} // namespace dynamo_labs
