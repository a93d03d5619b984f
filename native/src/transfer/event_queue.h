#pragma once
#include <functional>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "grant_table.h"
#include "transfer.h"

namespace dynamo_labs::transfer {

struct Notification {
  std::string from, payload;
};
/** A peer that was turned away, or a connection that misbehaved. */
struct Refused {
  Failure why;
  std::string peer;
};
using Event = std::variant<TransferResult, Notification, GrantReport, Refused>;

/** What the user of an agent has not seen yet. One wake-up per batch, however many events it holds. Any thread. */
class EventQueue {
public:
  explicit EventQueue(std::function<void()> wake) : wake_(std::move(wake)) {}
  void push(Event event) {
    bool first;
    {
      const std::lock_guard lock(mutex_);
      first = events_.empty();
      events_.push_back(std::move(event));
    }
    if (first && wake_) wake_();
  }
  std::vector<Event> drain() {
    const std::lock_guard lock(mutex_);
    return std::exchange(events_, {});
  }

private:
  std::function<void()> wake_;
  std::mutex mutex_;
  std::vector<Event> events_;
};

} // namespace dynamo_labs::transfer
