#include "ignore_connections.h"

#include <dirent.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "monotonic.h"
#include "socket.h"

namespace dynamo_labs::transfer {

namespace {

bool listensAt(int fd, const sockaddr_storage& address) {
  int listens = 0;
  socklen_t size = sizeof(listens);
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || !listens) return false;
  sockaddr_storage at{};
  size = sizeof(at);
  return getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) == 0 && at.ss_family == address.ss_family && at.ss_family != AF_UNIX && portOf(at) == portOf(address);
}

void makeDeaf(const sockaddr_storage& listener) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir("/proc/self/fd"), closedir);
  if (!folder) return;
  sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog program{1, &nothing};
  while (const dirent* entry = readdir(folder.get())) {
    const int fd = std::atoi(entry->d_name);
    if (listensAt(fd, listener)) setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
  }
}

} // namespace

void ignoreConnections(const sockaddr_storage& listener, int64_t longest, const std::function<void()>& turn) {
  // The last in the row: when this connection's end has been read, everybody before it has been accepted, and what they had sent has been read.
  const socklen_t length = listener.ss_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  const UniqueFd last(socket(listener.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{0, static_cast<suseconds_t>(std::min<int64_t>(longest / 1000, 999'999))};
  setsockopt(last.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)); // of connecting, too
  const bool in_row = connect(last.get(), reinterpret_cast<const sockaddr*>(&listener), length) == 0 && shutdown(last.get(), SHUT_WR) == 0;
  makeDeaf(listener);
  char byte;
  for (const int64_t end = nowNs() + longest; in_row && nowNs() < end && recv(last.get(), &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;) turn();
}

} // namespace dynamo_labs::transfer
