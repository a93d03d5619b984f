#pragma once
#include <memory>
#include <thread>
#include <vector>

#include "io_loop.h"

namespace dynamo_labs::transfer {

/**
 * Threads on which data connections live, so that bytes of several are copied and hashed at once and control traffic waits for none of them. Their
 * number is fixed; each begins when it first gets something to do. IO thread, except what lives on a loop.
 */
class BulkThreads {
public:
  explicit BulkThreads(size_t count) : threads_(count) {}
  ~BulkThreads() { stop(); }
  size_t count() const { return threads_.size(); }
  /** Null where no thread can be had. */
  IoLoop* loop(size_t index);
  /** The one with the least to do; where they have the same, another one than the last time. */
  IoLoop* leastLoaded();
  /** Joins them. What lives there is kept until `clear`. */
  void stop();
  void clear();

private:
  struct BulkThread {
    IoLoop loop;
    std::atomic<bool> stopping{false};
    std::thread thread;
  };
  std::vector<std::unique_ptr<BulkThread>> threads_;
  size_t last_ = 0;
};

} // namespace dynamo_labs::transfer
