#include "end_connections.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/tcp.h>
#include <netinet/in.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "monotonic.h"
#include "socket.h"
#include "unique_fd.h"

namespace dynamo_labs::transfer {

namespace {

/** A connection that is being accepted has left the row and has no descriptor yet: only this many looks in a row that find none are believed. */
constexpr int kLooks = 5;

bool sameAddress(const sockaddr_storage& a, const sockaddr_storage& b) {
  if (a.ss_family != b.ss_family || portOf(a) != portOf(b)) return false;
  if (a.ss_family == AF_INET) return reinterpret_cast<const sockaddr_in&>(a).sin_addr.s_addr == reinterpret_cast<const sockaddr_in&>(b).sin_addr.s_addr;
  return a.ss_family == AF_INET6 && std::memcmp(&reinterpret_cast<const sockaddr_in6&>(a).sin6_addr, &reinterpret_cast<const sockaddr_in6&>(b).sin6_addr, sizeof(in6_addr)) == 0;
}

bool isWildcard(const sockaddr_storage& at) {
  if (at.ss_family == AF_INET) return reinterpret_cast<const sockaddr_in&>(at).sin_addr.s_addr == htonl(INADDR_ANY);
  return at.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&reinterpret_cast<const sockaddr_in6&>(at).sin6_addr);
}

/** This end of a connection that `listener` let in, or `listener` itself. */
bool isOf(int fd, const sockaddr_storage& listener, bool& listens) {
  int value = 0;
  socklen_t size = sizeof(value);
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) != 0) return false;
  listens = value != 0;
  sockaddr_storage at{};
  size = sizeof(at);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) != 0) return false;
  return sameAddress(at, listener) || (!listens && isWildcard(listener) && at.ss_family == listener.ss_family && portOf(at) == portOf(listener));
}

/** Who has connected and has not been accepted. */
uint32_t waiting(int listener) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  return getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_unacked : 0; // of a listener: the length of its row
}

/** Makes the listener deaf and its connections end; how many there are, with those that wait to be accepted. Nothing where that cannot be seen. */
size_t endAll(const sockaddr_storage& listener) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir("/proc/self/fd"), closedir);
  if (!folder) return 0;
  sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog program{1, &nothing};
  size_t count = 0;
  while (const dirent* entry = readdir(folder.get())) {
    bool listens = false;
    const int theirs = std::atoi(entry->d_name);
    if (!isOf(theirs, listener, listens)) continue;
    // Its number may be somebody else's by now; that of a copy cannot.
    const UniqueFd fd(fcntl(theirs, F_DUPFD_CLOEXEC, 0));
    if (!fd.valid() || !isOf(fd.get(), listener, listens)) continue;
    if (listens) setsockopt(fd.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
    else shutdown(fd.get(), SHUT_RD);
    count += listens ? waiting(fd.get()) : 1;
  }
  return count;
}

} // namespace

bool endConnections(const sockaddr_storage& listener, int64_t longest, const std::function<void()>& turn) {
  int without = 0;
  for (const int64_t end = nowNs() + longest; without < kLooks;) {
    without = endAll(listener) == 0 ? without + 1 : 0;
    turn();
    if (nowNs() >= end && without == 0) return false;
  }
  return true;
}

} // namespace dynamo_labs::transfer
