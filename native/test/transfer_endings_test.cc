// How a read may end while its bytes are on their way, over every transport: nothing is written afterwards, and what is withdrawn is never delivered.
#include <algorithm>
#include <thread>

#include "transfer/agent_pair.h"

using namespace dynamo_labs::transfer;

namespace {

constexpr uint64_t kBytes = kBlock * kBlocks;
#if defined(__SANITIZE_THREAD__)
constexpr int kRounds = 12; // each takes a second and more
#else
constexpr int kRounds = 30;
#endif
std::mt19937_64 random_moment(11);

/**
 * Moments from before the first chunk to after the last one, however fast this machine is: after one that was too late the next come earlier,
 * after one that was not they may come later, so that about half of them are in time. Where none was, there are more rounds.
 */
class Moments {
public:
  bool another() { return rounds_++ < kRounds || (in_time_ == 0 && rounds_ < 20 * kRounds); }
  void wait() const {
    if (const uint64_t us = random_moment() % latest_us_) std::this_thread::sleep_for(std::chrono::microseconds(us));
  }
  void was(bool in_time) {
    latest_us_ = std::clamp<uint64_t>(in_time ? latest_us_ * 3 / 2 : latest_us_ * 2 / 3, 2, 100'000);
    in_time_ += in_time;
  }
  int inTime() const { return in_time_; }

private:
  uint64_t latest_us_ = 4000;
  int rounds_ = 0, in_time_ = 0;
};

AgentOptions manyLanes(const std::string& name, bool listening) {
  AgentOptions options = optionsFor(name, listening);
  options.chunk_bytes = 64 << 10;
  options.lanes = 3;
  return options;
}

void nobodyWritesInto(Pool& pool) {
  std::memset(pool.data(), 0x5a, pool.bytes());
  std::this_thread::sleep_for(std::chrono::milliseconds(3));
  CHECK(std::all_of(pool.data(), pool.data() + pool.bytes(), [](uint8_t byte) { return byte == 0x5a; }));
}

void cancelled(const TransportCase& over) {
  Pair pair(manyLanes("owner", true), manyLanes("reader", false));
  const GrantRef grant = pair.grantAll();
  Moments moments;
  while (moments.another()) {
    ReadSpec spec = readSpec(pair.owner, over, grant, pair.to, {{0, 0, kBytes}});
    spec.release = false;
    const uint64_t id = pair.reader.agent.read(spec, nullptr);
    moments.wait();
    pair.reader.agent.cancel(id);
    const TransferResult result = pair.reader.settled(id);
    CHECK(isOneOf(result.failure, {Code::Ok, Code::Canceled}) && result.checksum_failures == 0);
    moments.was(!result.failure.ok());
    if (result.failure.ok()) CHECK(sameBytes(*pair.from, *pair.to, spec.pieces));
    nobodyWritesInto(*pair.to);
  }
  CHECK(moments.inTime() > 0);
  // What was asked for by those that were cancelled is not outstanding for ever: the window is as wide as before.
  ReadSpec spec = readSpec(pair.owner, over, grant, pair.to, {{0, 0, kBytes}});
  CHECK(pair.reader.settled(pair.reader.agent.read(spec, nullptr)).failure.ok() && sameBytes(*pair.from, *pair.to, spec.pieces));
}

void agentClosed(const TransportCase& over) {
  Moments moments;
  for (int round = 0; round < kRounds / 3; round++) {
    for (const bool of_reader : {true, false}) {
      Pair pair(manyLanes("owner", true), manyLanes("reader", false));
      ReadSpec spec = readSpec(pair.owner, over, pair.grantAll(), pair.to, {{0, 0, kBytes}});
      spec.deadline_ms = 3000;
      const uint64_t id = pair.reader.agent.read(spec, nullptr);
      moments.wait();
      (of_reader ? pair.reader : pair.owner).agent.close();
      const TransferResult result = pair.reader.settled(id);
      moments.was(!result.failure.ok());
      CHECK(result.checksum_failures == 0); // what is lost on the way is not wrong
      if (result.failure.ok()) CHECK(sameBytes(*pair.from, *pair.to, spec.pieces));
      else if (of_reader) CHECK(isOneOf(result.failure, {Code::Closed}));
      else CHECK(isOneOf(result.failure, {Code::RemoteDisconnect, Code::Expired, Code::Deadline}));
      nobodyWritesInto(*pair.to);
    }
  }
}

constexpr uint8_t kUntouched = 0xee;

/** Every chunk of the destination is as it was granted, as it was before, or wiped. Returns the bytes that are as granted. */
uint64_t nothingElseIsThere(const Pool& to, const std::vector<uint8_t>& granted) {
  const std::vector<uint8_t> untouched(64 << 10, kUntouched), wiped(64 << 10);
  uint64_t as_granted = 0;
  for (uint64_t at = 0; at < kBytes; at += wiped.size()) {
    const auto holds = [&](const uint8_t* bytes) { return std::memcmp(to.data() + at, bytes, wiped.size()) == 0; };
    if (holds(granted.data() + at)) as_granted += wiped.size();
    else CHECK(holds(untouched.data()) || holds(wiped.data()));
  }
  return as_granted;
}

/**
 * What a pool's user does with blocks that he has taken back, while a reader may still be at them: that race is what generations are for, so
 * ThreadSanitizer is not to see it. (Volatile: or it would become a memset, which it does see.)
 */
__attribute__((no_sanitize("thread"))) void overwrite(Pool& pool) {
  volatile uint64_t* const words = reinterpret_cast<uint64_t*>(pool.data());
  for (uint64_t at = 0; at < kBytes / sizeof(uint64_t); at++) words[at] = 0x7777777777777777;
}

/** Blocks are withdrawn and written again while they are served: what has been delivered is what was granted. */
void withdrawn(const TransportCase& over) {
  Moments moments;
  while (moments.another()) {
    Pair pair(manyLanes("owner", true), manyLanes("reader", false));
    std::memset(pair.to->data(), kUntouched, kBytes);
    const std::vector<uint8_t> granted(pair.from->data(), pair.from->data() + kBytes);
    ReadSpec spec = readSpec(pair.owner, over, pair.grantAll(), pair.to, {{0, 0, kBytes}});
    const uint64_t id = pair.reader.agent.read(spec, nullptr);
    moments.wait();
    pair.from->withdraw(0, kBlocks);
    overwrite(*pair.from);
    const TransferResult result = pair.reader.settled(id);
    CHECK(isOneOf(result.failure, {Code::Ok, Code::Expired}));
    moments.was(!result.failure.ok());
    if (result.failure.ok()) CHECK(std::memcmp(granted.data(), pair.to->data(), kBytes) == 0);
    CHECK(nothingElseIsThere(*pair.to, granted) >= result.bytes_done);
  }
  CHECK(moments.inTime() > 0);
}

/** Every chunk has a wrong bit, every time. */
void neverRight(const TransportCase& over) {
  AgentOptions owner = manyLanes("owner", true), reader = manyLanes("reader", false);
  AgentOptions& mover = over.kind == TransportKind::Shm ? reader : owner;
  mover.faults = {{FaultKind::Flip, over.kind == TransportKind::Shm ? FaultSide::Read : FaultSide::Serve, 0, 1, 100'000, 0, 0, 0}};
  Pair pair(owner, reader);
  std::memset(pair.to->data(), kUntouched, kBytes);
  const std::vector<uint8_t> granted(pair.from->data(), pair.from->data() + kBytes);
  const TransferResult result = pair.reader.settled(pair.reader.agent.read(readSpec(pair.owner, over, pair.grantAll(), pair.to, {{0, 0, kBytes}}), nullptr));
  CHECK(result.failure.code == Code::Checksum && result.bytes_done == 0 && result.checksum_failures > 0);
  CHECK(nothingElseIsThere(*pair.to, granted) == 0);
}

/** Connections are lost again and again with chunks outstanding on all of them, several transfers at once. */
void connectionsLost(const TransportCase& over) {
  for (uint64_t seed = 1; seed <= 4; seed++) {
    AgentOptions owner = manyLanes("owner", true), reader = manyLanes("reader", false);
    owner.fault_seed = reader.fault_seed = seed;
    reader.faults = {{FaultKind::Reset, FaultSide::Read, 200'000, 3'000'000, 3, 0, 0, 0}};
    owner.faults = {{FaultKind::Truncate, FaultSide::Serve, 500'000, 3'000'000, 2, 0, 0, 0}, {FaultKind::Flip, FaultSide::Serve, 100'000, 4'000'000, 3, 0, 0, 0},
                    {FaultKind::Duplicate, FaultSide::Serve, 300'000, 2'000'000, 3, 0, 0, 0}};
    Pair pair(owner, reader);
    const GrantRef grant = pair.grantAll();
    std::vector<uint64_t> reads;
    for (uint64_t part = 0; part < 4; part++) {
      ReadSpec spec = readSpec(pair.owner, over, grant, pair.to, {{part * kBytes / 4, part * kBytes / 4, kBytes / 4}});
      spec.release = false;
      reads.push_back(pair.reader.agent.read(spec, nullptr));
    }
    for (const uint64_t id : reads) CHECK(isOneOf(pair.reader.settled(id).failure, {Code::Ok}));
    CHECK(std::memcmp(pair.from->data(), pair.to->data(), kBytes) == 0);
    CHECK(!pair.reader.agent.faultReports().empty());
  }
}

} // namespace

/** Arguments: the transports to test; none = all. */
int main(int count, char** arguments) {
  overTransports(count, arguments, [](const TransportCase& over) {
    cancelled(over);
    agentClosed(over);
    withdrawn(over);
    neverRight(over);
    connectionsLost(over);
  });
}
