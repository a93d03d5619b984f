#pragma once
#include <atomic>
#include <memory>
#include <vector>

#include "poller.h"

namespace dynamo_labs::transfer {

/** One who lives on a loop: all its calls come on that loop's thread. */
class LoopMember {
public:
  virtual ~LoopMember() = default;
  /** It has just come here. */
  virtual void onAdopted() {}
  /** After every round of events; returns when to be called again. */
  virtual int64_t tick(int64_t now) = 0;
  /** It has ended and may be let go. */
  virtual bool over() const = 0;
  /** Bulk is on its way. */
  virtual bool busy() const = 0;
};

/** A poller and those who live on its thread. */
class IoLoop {
public:
  Poller poller;
  /** At once; on the loop's thread, or before it runs. */
  void adopt(std::shared_ptr<LoopMember> member);
  /** From any thread, in the next round. */
  void send(std::shared_ptr<LoopMember> member);
  /** Lets go of one who moves on; null where it is not here. */
  std::shared_ptr<LoopMember> release(const LoopMember* member);
  /** Returns when to tick again. `busy`: bulk is on its way to somebody who is no member. */
  int64_t tick(int64_t now, bool busy = false);
  /** How many live here or are on their way. Any thread. */
  size_t load() const { return load_.load(std::memory_order_relaxed); }
  /** Lets go of everybody, once the thread is no more. */
  void clear();

private:
  std::vector<std::shared_ptr<LoopMember>> members_;
  std::atomic<size_t> load_{0};
};

} // namespace dynamo_labs::transfer
