#pragma once
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "monotonic.h"

namespace dynamo_labs::transfer {

/** What happened to a transfer and when, in microseconds since it was asked for. Keeps the first 64 and counts the rest. */
class Timeline {
public:
  struct Entry {
    const char* what;
    int64_t at_us;
    std::string detail;
  };
  void add(const char* what, std::string detail = {}) {
    const std::lock_guard lock(mutex_);
    if (entries_.size() < 64) entries_.push_back({what, (nowNs() - start_) / 1000, std::move(detail)});
    else dropped_++;
  }
  std::vector<Entry> entries(uint64_t& dropped) const {
    const std::lock_guard lock(mutex_);
    dropped = dropped_;
    return entries_;
  }
  int64_t startNs() const { return start_; }

private:
  mutable std::mutex mutex_;
  int64_t start_ = nowNs();
  std::vector<Entry> entries_;
  uint64_t dropped_ = 0;
};

} // namespace dynamo_labs::transfer
