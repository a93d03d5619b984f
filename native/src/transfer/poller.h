#pragma once
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "unique_fd.h"

namespace dynamo_labs::transfer {

/** Told by the IO thread that its descriptor is ready. `events` are epoll's. */
class Pollable {
public:
  virtual ~Pollable() = default;
  virtual void onReady(uint32_t events) = 0;
};

/** epoll, and an eventfd through which other threads hand work to the IO thread. */
class Poller {
public:
  Poller();
  void add(int fd, uint32_t events, Pollable* target);
  void change(int fd, uint32_t events, Pollable* target);
  void remove(int fd, Pollable* target);
  /** Waits until `due` (nowNs clock) at most, then calls targets and posted work. */
  void run(int64_t due);
  /** Any thread. */
  void post(std::function<void()> work);

private:
  UniqueFd epoll_, wake_;
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;
  std::vector<Pollable*> removed_; // during one round: their events are stale
};

} // namespace dynamo_labs::transfer
