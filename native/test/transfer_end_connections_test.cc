// Ending what comes in at a listener whose descriptors somebody else's code owns: here a thread that accepts, reads, and closes at the end.
#include "transfer/end_connections.h"

#include <atomic>
#include <cerrno>
#include <set>
#include <thread>
#include <vector>

#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

#include "transfer/check.h"
#include "transfer/monotonic.h"
#include "transfer/unique_fd.h"

using namespace dynamo_labs::transfer;

namespace {

struct Listener {
  UniqueFd fd{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_storage at{};

  explicit Listener(uint32_t host = INADDR_LOOPBACK) {
    auto& address = reinterpret_cast<sockaddr_in&>(at);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(host);
    socklen_t size = sizeof(address);
    CHECK(bind(fd.get(), reinterpret_cast<sockaddr*>(&at), size) == 0 && listen(fd.get(), 64) == 0);
    CHECK(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&at), &size) == 0);
  }
};

UniqueFd dial(const Listener& listener) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to = reinterpret_cast<const sockaddr_in&>(listener.at);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0);
  return fd;
}

/** Accepts and reads, a descriptor at a time; closes what has ended, unless it is `stubborn`. Counts bytes. */
class Owner {
public:
  Owner(const Listener& listener, bool stubborn = false) : listener_(listener), stubborn_(stubborn), thread_([this] { run(); }) {}
  ~Owner() {
    stop_ = true;
    thread_.join();
    for (const int fd : fds_) close(fd);
  }
  std::atomic<int> accepted{0}, ended{0}, bytes{0};

private:
  void run() {
    while (!stop_) {
      pollfd ready{listener_.fd.get(), POLLIN, 0};
      if (poll(&ready, 1, 1) == 1) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2)); // slow
        fds_.insert(accept4(listener_.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        accepted++;
      }
      std::erase_if(fds_, [this](int fd) {
        char some[64];
        const ssize_t got = read(fd, some, sizeof(some));
        if (got > 0) bytes += static_cast<int>(got);
        if (got != 0 || stubborn_) return false;
        ended++;
        return close(fd) == 0;
      });
    }
  }

  const Listener& listener_;
  const bool stubborn_;
  std::set<int> fds_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

const auto shortly = [] { std::this_thread::sleep_for(std::chrono::microseconds(200)); };

/** Those that were accepted and those in the row are heard and closed; nobody comes after them; others' connections stay. */
void everybodyIsHeard(uint32_t host) {
  const Listener listener(host), other;
  Owner owner(listener), bystander(other);
  const UniqueFd theirs = dial(other);
  std::vector<UniqueFd> peers;
  for (int i = 0; i < 20; i++) {
    peers.push_back(dial(listener));
    CHECK(i % 2 || write(peers.back().get(), "hello", 5) == 5);
  }
  CHECK(endConnections(listener.at, 10'000 * kMs, shortly));
  CHECK(owner.accepted == 20 && owner.ended == 20 && owner.bytes == 50);
  char byte;
  for (const UniqueFd& peer : peers) CHECK(read(peer.get(), &byte, 1) <= 0);

  const UniqueFd late(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  CHECK(connect(late.get(), reinterpret_cast<const sockaddr*>(&listener.at), sizeof(sockaddr_in)) == -1 && errno == EINPROGRESS);
  pollfd connected{late.get(), POLLOUT, 0};
  CHECK(poll(&connected, 1, 100) == 0 && owner.accepted == 20);

  CHECK(write(theirs.get(), "still here", 10) == 10);
  for (int i = 0; i < 5000 && bystander.bytes < 10; i++) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  CHECK(bystander.bytes == 10 && bystander.ended == 0);
}

void whoNeverClosesIsNotWaitedForForEver() {
  const Listener listener;
  const Owner owner(listener, true);
  const UniqueFd peer = dial(listener);
  const int64_t begin = nowNs();
  CHECK(!endConnections(listener.at, 50 * kMs, shortly) && nowNs() - begin >= 50 * kMs);
}

} // namespace

int main() {
  everybodyIsHeard(INADDR_LOOPBACK);
  everybodyIsHeard(INADDR_ANY);
  whoNeverClosesIsNotWaitedForForEver();
}
