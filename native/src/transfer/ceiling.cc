#include "ceiling.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "monotonic.h"
#include "socket.h"

namespace dynamo_labs::transfer {

double copyPieces(uint8_t* to, const uint8_t* from, const std::vector<Piece>& pieces) {
  const int64_t start = nowNs();
  for (const Piece& piece : pieces) std::memcpy(to + piece.local, from + piece.remote, piece.length);
  return static_cast<double>(nowNs() - start) / 1e9;
}

double socketCopy(uint8_t* to, const uint8_t* from, uint64_t bytes, bool tcp) {
  Address any, bound;
  int err = 0;
  Address::parse(tcp ? "tcp:127.0.0.1:0" : "unix:@dynamo-labs-ceiling-" + std::to_string(nowNs()), any);
  UniqueFd listener = listenOn(any, bound, err);
  UniqueFd sender = connectTo(bound, err);
  if (!listener.valid() || !sender.valid()) return 0;
  pollfd ready{listener.get(), POLLIN, 0};
  poll(&ready, 1, 1000);
  UniqueFd receiver(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!receiver.valid()) return 0;
  tuneStream(receiver.get(), bound);
  const int64_t start = nowNs();
  std::thread thread([&] {
    for (uint64_t at = 0; at < bytes;) {
      const ssize_t sent = send(sender.get(), from + at, std::min<uint64_t>(1 << 20, bytes - at), MSG_NOSIGNAL);
      pollfd room{sender.get(), POLLOUT, 0};
      if (sent > 0) at += static_cast<uint64_t>(sent);
      else if (errno == EAGAIN) poll(&room, 1, 1000);
      else return;
    }
  });
  uint64_t at = 0;
  while (at < bytes) {
    const ssize_t got = recv(receiver.get(), to + at, std::min<uint64_t>(1 << 20, bytes - at), 0);
    if (got <= 0) break;
    at += static_cast<uint64_t>(got);
  }
  const double seconds = static_cast<double>(nowNs() - start) / 1e9;
  receiver.reset();
  thread.join();
  return at == bytes ? seconds : 0;
}

} // namespace dynamo_labs::transfer
