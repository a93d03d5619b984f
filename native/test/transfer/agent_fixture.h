#pragma once
#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <string>

#include "check.h"
#include "transfer/agent.h"
#include "transfer/monotonic.h"

namespace dynamo_labs::transfer {

/** An agent whose events can be waited for. */
struct TestAgent {
  std::mutex mutex;
  std::condition_variable woken;
  bool awake = false;
  std::vector<Event> seen;
  Agent agent;

  explicit TestAgent(const AgentOptions& options)
      : agent(options, [this] {
          const std::lock_guard lock(mutex);
          awake = true;
          woken.notify_all();
        }) {}

  /** The first event of this kind that satisfies the condition, or nothing after `ms`. */
  template <class T, class Condition> std::unique_ptr<T> wait(Condition condition, int ms = 20'000) {
    const int64_t end = nowNs() + ms * kMs;
    for (;;) {
      for (auto at = seen.begin(); at != seen.end(); at++) {
        const T* event = std::get_if<T>(&*at);
        if (!event || !condition(*event)) continue;
        auto found = std::make_unique<T>(*event);
        seen.erase(at);
        return found;
      }
      {
        std::unique_lock lock(mutex);
        if (!woken.wait_for(lock, std::chrono::nanoseconds(std::max<int64_t>(end - nowNs(), 0)), [this] { return awake; })) return nullptr;
        awake = false;
      }
      for (Event& event : agent.drain()) seen.push_back(std::move(event));
    }
  }
  TransferResult settled(uint64_t id) {
    auto result = wait<TransferResult>([id](const TransferResult& one) { return one.id == id; });
    CHECK(result);
    return *result;
  }
  std::unique_ptr<Notification> notification(int ms = 5000) {
    return wait<Notification>([](const Notification&) { return true; }, ms);
  }
};

inline void fillRandom(Pool& pool, uint64_t seed) {
  std::mt19937_64 random(seed);
  for (uint64_t i = 0; i + 8 <= pool.bytes(); i += 8) {
    const uint64_t value = random();
    std::memcpy(pool.data() + i, &value, 8);
  }
}

/** Whether it is one of these codes; says what it is where it is none of them. */
inline bool isOneOf(const Failure& failure, std::initializer_list<Code> codes) {
  const bool is = std::find(codes.begin(), codes.end(), failure.code) != codes.end();
  if (!is) std::fprintf(stderr, "%s while %s, errno %d: %s\n", name(failure.code), name(failure.phase), failure.err, failure.message.c_str());
  return is;
}

/** How a transport is asked for in the contract test. */
struct TransportCase {
  const char* label;
  TransportKind kind;
  const char* prefix;
};
inline const TransportCase kTransports[] = {{"shm", TransportKind::Shm, "unix:"},
                                            {"uds", TransportKind::Uds, "unix:"},
                                            {"tcp4", TransportKind::Tcp, "tcp:127"},
                                            {"tcp6", TransportKind::Tcp, "tcp:["},
                                            {"ucx", TransportKind::Ucx, "ucx:127"}};
/** The one under test: UCX is listened on only when it is its turn. */
inline TransportKind current_kind = TransportKind::None;

/** Why a case cannot run here; empty if it can. */
inline std::string absent(const TransportCase& over) {
  if (over.kind != TransportKind::Ucx) return "";
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  return "libucp is not instrumented";
#endif
  return UcxLibrary::get().functions ? "" : "UCX is not installed: " + UcxLibrary::get().missing;
}

/** Calls `test` with each transport that is here; with those named in the arguments where there are any. */
template <class Test> void overTransports(int count, char** arguments, Test test) {
  for (const TransportCase& over : kTransports) {
    if (count > 1 && std::none_of(arguments + 1, arguments + count, [&](const char* one) { return std::strcmp(one, over.label) == 0; })) continue;
    if (const std::string why = absent(over); !why.empty()) {
      std::printf("%s absent: %s\n", over.label, why.c_str());
      continue;
    }
    current_kind = over.kind;
    test(over);
    std::printf("%s ok\n", over.label);
    std::fflush(stdout);
  }
}

inline AgentOptions optionsFor(const std::string& name, bool listening) {
  AgentOptions options;
  options.name = name;
  options.fingerprint = "test";
  options.token = "secret";
  options.workers = 2;
  if (listening) options.listen = {"unix:@dynamo-labs-test-" + std::to_string(getpid()) + "-" + name + std::to_string(nowNs()), "tcp:127.0.0.1:0", "tcp:[::1]:0"};
  if (listening && current_kind == TransportKind::Ucx) options.listen.push_back("ucx:127.0.0.1:0");
  return options;
}

inline std::vector<std::string> onlyWith(const std::vector<std::string>& addresses, const std::string& prefix) {
  std::vector<std::string> out;
  for (const std::string& address : addresses)
    if (address.starts_with(prefix)) out.push_back(address);
  return out;
}

inline ReadSpec readSpec(TestAgent& owner, const TransportCase& over, const GrantRef& grant, const std::shared_ptr<Pool>& local, std::vector<Piece> pieces) {
  ReadSpec spec;
  spec.peer = owner.agent.identity().name;
  spec.peer_epoch = owner.agent.identity().epoch;
  spec.addresses = onlyWith(owner.agent.metadata().addresses, over.prefix);
  spec.grant = grant;
  spec.local = local;
  spec.pieces = std::move(pieces);
  spec.transports = {over.kind};
  return spec;
}

inline bool sameBytes(const Pool& from, const Pool& to, const std::vector<Piece>& pieces) {
  for (const Piece& piece : pieces)
    if (std::memcmp(from.data() + piece.remote, to.data() + piece.local, piece.length) != 0) return false;
  return true;
}

} // namespace dynamo_labs::transfer
