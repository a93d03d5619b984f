#pragma once
#include "byte_stream.h"

namespace dynamo_labs::transfer {

/** A TCP or Unix socket; the latter also carries descriptors. */
class SocketStream : public ByteStream {
public:
  SocketStream(Poller& poller, UniqueFd fd) : poller_(&poller), fd_(std::move(fd)) {}
  ~SocketStream() override;
  void watch(uint32_t events, Pollable* target) override;
  ssize_t receive(iovec* pieces, size_t count, std::vector<UniqueFd>& fds) override;
  ssize_t send(const iovec* pieces, size_t count, const std::vector<int>& fds) override;
  int connectError() override;
  bool endWrites() override;
  bool movable() const override { return true; }
  void moveTo(Poller& poller) override;
  void resetWhenClosed() override;

private:
  Poller* poller_;
  UniqueFd fd_;
  Pollable* target_ = nullptr;
};

} // namespace dynamo_labs::transfer
