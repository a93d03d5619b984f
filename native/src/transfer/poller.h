#pragma once
#include <sys/epoll.h>

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

/** Events that epoll alone cannot see. */
class PollSource {
public:
  virtual ~PollSource() = default;
  /** Before waiting; true where there is something to do already. */
  virtual bool prepare() = 0;
  /** After waiting. */
  virtual void service() = 0;
};

/**
 * How long to look again and again before sleeping, while bulk is on its way: being woken costs tens of microseconds on a virtual machine. Looks
 * shorter each time that nothing came, so that where processors are scarce it soon does not look at all, and tries again now and then.
 */
class SpinBudget {
public:
  int64_t take();
  void result(bool came);

private:
  int64_t ns_ = 0;
  uint32_t skipped_ = 0;
};

/** epoll, and an eventfd through which other threads hand work to the IO thread. */
class Poller {
public:
  Poller();
  void add(int fd, uint32_t events, Pollable* target);
  void change(int fd, uint32_t events, Pollable* target);
  void remove(int fd, Pollable* target);
  /** At most one; null takes it away. */
  void setSource(PollSource* source) { source_ = source; }
  /** Whether bulk is on its way. */
  void setBusy(bool busy) { busy_ = busy; }
  /** Waits until `due` (nowNs clock) at most, then calls targets and posted work. */
  void run(int64_t due);
  /** Any thread. */
  void post(std::function<void()> work);
  /** Drops posted work that will not be done any more. */
  void forget();

private:
  int wait(epoll_event* events, int64_t due);
  UniqueFd epoll_, wake_;
  PollSource* source_ = nullptr;
  bool busy_ = false;
  SpinBudget spin_;
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;
  std::vector<Pollable*> removed_; // during one round: their events are stale
};

} // namespace dynamo_labs::transfer
