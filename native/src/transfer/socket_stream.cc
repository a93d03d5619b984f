#include "socket_stream.h"

#include <sys/socket.h>

#include "socket.h"

namespace dynamo_labs::transfer {

SocketStream::~SocketStream() {
  if (target_) poller_->remove(fd_.get(), target_);
}

void SocketStream::watch(uint32_t events, Pollable* target) {
  if (target_) poller_->change(fd_.get(), events, target);
  else poller_->add(fd_.get(), events, target);
  target_ = target;
}

ssize_t SocketStream::receive(iovec* pieces, size_t count, std::vector<UniqueFd>& fds) { return receiveWithFds(fd_.get(), pieces, count, fds); }

ssize_t SocketStream::send(const iovec* pieces, size_t count, const std::vector<int>& fds) { return sendWithFds(fd_.get(), pieces, count, fds); }

int SocketStream::connectError() {
  int err = 0;
  socklen_t size = sizeof(err);
  getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &err, &size);
  return err;
}

bool SocketStream::endWrites() { return shutdown(fd_.get(), SHUT_WR) == 0; }

void SocketStream::moveTo(Poller& poller) {
  if (target_) poller_->remove(fd_.get(), target_);
  target_ = nullptr;
  poller_ = &poller;
}

void SocketStream::resetWhenClosed() {
  const linger now{1, 0};
  setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

} // namespace dynamo_labs::transfer
