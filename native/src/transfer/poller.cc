#include "poller.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "monotonic.h"

namespace dynamo_labs::transfer {

namespace {
constexpr int kEvents = 64;
constexpr int64_t kLongestSpinNs = 40'000, kShortestSpinNs = 2'000;
constexpr uint32_t kSleepsBetweenTries = 200;
} // namespace

int64_t SpinBudget::take() {
  if (ns_ < kShortestSpinNs && ++skipped_ > kSleepsBetweenTries) ns_ = kLongestSpinNs / 2, skipped_ = 0;
  return ns_ < kShortestSpinNs ? 0 : ns_;
}

void SpinBudget::result(bool came) { ns_ = came ? std::min(ns_ * 2, kLongestSpinNs) : ns_ / 2; }

Poller::Poller() : epoll_(epoll_create1(EPOLL_CLOEXEC)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!epoll_.valid() || !wake_.valid()) throw std::system_error(errno, std::generic_category(), "epoll");
  add(wake_.get(), EPOLLIN, nullptr);
}

void Poller::add(int fd, uint32_t events, Pollable* target) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = target;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw std::system_error(errno, std::generic_category(), "epoll_ctl");
}

void Poller::change(int fd, uint32_t events, Pollable* target) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = target;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void Poller::remove(int fd, Pollable* target) {
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  removed_.push_back(target);
}

int Poller::wait(epoll_event* events, int64_t due) {
  const bool at_once = source_ && source_->prepare();
  const int64_t now = nowNs();
  const int timeout = at_once ? 0 : due == kNever ? -1 : due <= now ? 0 : static_cast<int>(std::min<int64_t>((due - now) / kMs + 1, 60'000));
  if (const int64_t spin = busy_ && timeout != 0 ? spin_.take() : 0; spin > 0) {
    for (const int64_t end = now + spin; nowNs() < end;) {
      const int ready = epoll_wait(epoll_.get(), events, kEvents, 0);
      if (ready == 0) continue;
      spin_.result(true);
      return ready;
    }
    spin_.result(false);
  }
  return epoll_wait(epoll_.get(), events, kEvents, timeout);
}

void Poller::run(int64_t due) {
  epoll_event events[kEvents];
  removed_.clear();
  const int ready = wait(events, due);
  for (int i = 0; i < ready; i++) {
    auto* target = static_cast<Pollable*>(events[i].data.ptr);
    if (!target) {
      uint64_t count;
      [[maybe_unused]] const ssize_t drained = read(wake_.get(), &count, sizeof(count));
    } else if (std::find(removed_.begin(), removed_.end(), target) == removed_.end()) {
      target->onReady(events[i].events);
    }
  }
  if (source_) source_->service();
  std::vector<std::function<void()>> work;
  {
    const std::lock_guard lock(mutex_);
    work.swap(posted_);
  }
  for (const auto& one : work) one();
}

void Poller::forget() {
  std::vector<std::function<void()>> work;
  const std::lock_guard lock(mutex_);
  work.swap(posted_);
}

void Poller::post(std::function<void()> work) {
  bool first;
  {
    const std::lock_guard lock(mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(work));
  }
  const uint64_t one = 1;
  if (first) [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof(one));
}

} // namespace dynamo_labs::transfer
