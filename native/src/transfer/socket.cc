#include "socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>

namespace dynamo_labs::transfer {

namespace {

constexpr size_t kMaxFds = 4;

UniqueFd makeSocket(const RawAddress& raw, int& err) {
  UniqueFd fd(socket(raw.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) err = errno;
  return fd;
}

} // namespace

bool toRaw(const Address& address, RawAddress& out) {
  if (address.is_unix) {
    auto* to = reinterpret_cast<sockaddr_un*>(&out.storage);
    if (address.host_or_path.size() >= sizeof(to->sun_path)) return false;
    to->sun_family = AF_UNIX;
    std::memcpy(to->sun_path, address.host_or_path.data(), address.host_or_path.size());
    out.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.host_or_path.size() + (to->sun_path[0] == '@' ? 0 : 1));
    if (to->sun_path[0] == '@') to->sun_path[0] = 0;
    return true;
  }
  auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
  if (inet_pton(AF_INET, address.host_or_path.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address.port);
    out.length = sizeof(*v4);
    return true;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
  if (inet_pton(AF_INET6, address.host_or_path.c_str(), &v6->sin6_addr) != 1) return false;
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(address.port);
  out.length = sizeof(*v6);
  return true;
}

uint16_t portOf(const sockaddr_storage& storage) {
  return ntohs(storage.ss_family == AF_INET ? reinterpret_cast<const sockaddr_in&>(storage).sin_port : reinterpret_cast<const sockaddr_in6&>(storage).sin6_port);
}

bool Address::parse(const std::string& text, Address& out) {
  out = {};
  if (text.starts_with("unix:") && text.size() > 5) {
    out.is_unix = true;
    out.host_or_path = text.substr(5);
    return true;
  }
  const size_t colon = text.rfind(':');
  out.is_ucx = text.starts_with("ucx:");
  if (!(out.is_ucx || text.starts_with("tcp:")) || colon <= 4 || colon + 1 >= text.size()) return false;
  out.host_or_path = text.substr(4, colon - 4);
  if (out.host_or_path.size() > 2 && out.host_or_path.front() == '[' && out.host_or_path.back() == ']')
    out.host_or_path = out.host_or_path.substr(1, out.host_or_path.size() - 2);
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data() + colon + 1, end, out.port);
  RawAddress raw;
  return error == std::errc() && at == end && toRaw(out, raw);
}

std::string Address::text() const {
  if (is_unix) return "unix:" + host_or_path;
  const bool v6 = host_or_path.find(':') != std::string::npos;
  return (is_ucx ? "ucx:" : "tcp:") + (v6 ? "[" + host_or_path + "]" : host_or_path) + ":" + std::to_string(port);
}

bool Address::isLoopback() const { return is_unix || host_or_path.starts_with("127.") || host_or_path == "::1"; }

UniqueFd listenOn(const Address& address, Address& bound, int& err) {
  RawAddress raw;
  err = EINVAL;
  if (!toRaw(address, raw)) return UniqueFd();
  UniqueFd fd = makeSocket(raw, err);
  if (!fd.valid()) return fd;
  const int on = 1;
  if (!address.is_unix) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  tuneStream(fd.get(), address); // what is accepted has it from the start: a connection that began with bbr goes on pacing after it was told not to
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&raw.storage), raw.length) != 0 || listen(fd.get(), 128) != 0) {
    err = errno;
    return UniqueFd();
  }
  bound = address;
  if (!address.is_unix) {
    raw.length = sizeof(raw.storage);
    getsockname(fd.get(), reinterpret_cast<sockaddr*>(&raw.storage), &raw.length);
    bound.port = portOf(raw.storage);
  }
  err = 0;
  return fd;
}

UniqueFd connectTo(const Address& address, int& err) {
  RawAddress raw;
  err = EINVAL;
  if (!toRaw(address, raw)) return UniqueFd();
  UniqueFd fd = makeSocket(raw, err);
  if (!fd.valid()) return fd;
  tuneStream(fd.get(), address);
  err = 0;
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&raw.storage), raw.length) != 0) {
    err = errno;
    if (err != EINPROGRESS) return UniqueFd();
  }
  return fd;
}

void tuneStream(int fd, const Address& address) {
  if (address.is_unix) {
    const int bytes = 4 << 20; // the kernel caps it
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    return;
  }
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  // Pacing by bbr halves the speed of loopback; where cubic is missing nothing changes.
  if (address.isLoopback()) setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
}

ssize_t sendWithFds(int fd, const iovec* pieces, size_t count, const std::vector<int>& fds) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces);
  message.msg_iovlen = count;
  alignas(cmsghdr) char space[CMSG_SPACE(kMaxFds * sizeof(int))];
  if (!fds.empty()) {
    if (fds.size() > kMaxFds) return errno = EINVAL, -1;
    message.msg_control = space;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  return sendmsg(fd, &message, MSG_NOSIGNAL);
}

ssize_t receiveWithFds(int fd, iovec* pieces, size_t count, std::vector<UniqueFd>& fds) {
  msghdr message{};
  message.msg_iov = pieces;
  message.msg_iovlen = count;
  alignas(cmsghdr) char space[CMSG_SPACE(kMaxFds * sizeof(int))];
  message.msg_control = space;
  message.msg_controllen = sizeof(space);
  const ssize_t bytes = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  if (bytes < 0) return bytes;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t received = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < received; i++) {
      int one;
      std::memcpy(&one, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      fds.emplace_back(one);
    }
  }
  return bytes;
}

} // namespace dynamo_labs::transfer
