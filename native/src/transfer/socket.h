#pragma once
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <string>
#include <vector>

#include "status.h"
#include "unique_fd.h"

namespace dynamo_labs::transfer {

/** `unix:/path` (a name that starts with @ is in the abstract namespace), `tcp:127.0.0.1:5600`, `tcp:[::1]:5600`, `ucx:127.0.0.1:5600`. Port 0 = any. */
struct Address {
  bool is_unix = false, is_ucx = false;
  std::string host_or_path;
  uint16_t port = 0;
  static bool parse(const std::string& text, Address& out);
  std::string text() const;
  bool isLoopback() const;
};

/** An address as system calls take it. */
struct RawAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
};
bool toRaw(const Address& address, RawAddress& out);
/** Of an internet address, in host order. */
uint16_t portOf(const sockaddr_storage& storage);

/** Non-blocking, close-on-exec. `err` is the errno where the result is not valid. */
UniqueFd listenOn(const Address& address, Address& bound, int& err);
/** May still be connecting (then `err` is EINPROGRESS and the result is valid). */
UniqueFd connectTo(const Address& address, int& err);
/** Nagle off; on loopback the congestion control that copies fastest there. */
void tuneStream(int fd, const Address& address);

/** Sends bytes and descriptors in one message; the bytes written, or -1 with errno. */
ssize_t sendWithFds(int fd, const iovec* pieces, size_t count, const std::vector<int>& fds);
/** Reads bytes and any descriptors that came with them. */
ssize_t receiveWithFds(int fd, iovec* pieces, size_t count, std::vector<UniqueFd>& fds);

} // namespace dynamo_labs::transfer
