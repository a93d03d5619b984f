#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <thread>

#include "shm_copy.h"

namespace dynamo_labs::transfer {

/** Copies for all transfers over shared memory, a slice of each in turn. The number of threads is fixed. */
class CopyWorkers {
public:
  /** Called on a worker, once nobody touches the transfer's memory: it is over, or its owner is out of reach. */
  using Callback = std::function<void(const std::shared_ptr<Transfer>&)>;
  CopyWorkers(int threads, FaultPlan* faults, Callback settle, Callback reconnect);
  ~CopyWorkers();
  void add(std::shared_ptr<Transfer> transfer, ShmSource source);
  size_t queued() const;

private:
  struct Job {
    std::shared_ptr<Transfer> transfer;
    ShmSource source;
    uint32_t generation;
  };
  void work();
  /** False when no chunk is left to take. */
  bool slice(Job& job);

  FaultPlan* faults_;
  Callback settle_, reconnect_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> queue_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

} // namespace dynamo_labs::transfer
