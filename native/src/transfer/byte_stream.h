#pragma once
#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "poller.h"
#include "unique_fd.h"

namespace dynamo_labs::transfer {

/** A non-blocking stream of bytes that can carry frames: what a transport provides. Ends with its destruction. One thread at a time: its poller's. */
class ByteStream {
public:
  virtual ~ByteStream() = default;
  /** Who is told of `events` (epoll's) from now on; 0 = of nothing but failure. */
  virtual void watch(uint32_t events, Pollable* target) = 0;
  /** Like recvmsg: the bytes read, 0 at the end, -1 with errno (EAGAIN: none now). Descriptors that came along are appended. */
  virtual ssize_t receive(iovec* pieces, size_t count, std::vector<UniqueFd>& fds) = 0;
  /** Like sendmsg. What it has taken may be changed by the caller. */
  virtual ssize_t send(const iovec* pieces, size_t count, const std::vector<int>& fds) = 0;
  /** After the first event: 0, or the errno with which connecting failed. */
  virtual int connectError() = 0;
  /** The peer sees the end of the stream and can still write; false where that cannot be. */
  virtual bool endWrites() = 0;
  /** Whether another thread's poller can watch it. */
  virtual bool movable() const { return false; }
  /** Is watched by nobody here any more, and by this poller from the next `watch` on. */
  virtual void moveTo(Poller&) {}
  /** The peer sees a reset instead of an end when this stream is destroyed. */
  virtual void resetWhenClosed() = 0;
};

} // namespace dynamo_labs::transfer
