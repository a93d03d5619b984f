// What every transport must do, run over each of them: the same cases, the same expectations.
#include <algorithm>
#include <thread>

#include "transfer/agent_pair.h"

using namespace dynamo_labs::transfer;

namespace {

void readsExactly(const TransportCase& over) {
  Pair pair;
  const GrantRef grant = pair.grantAll();
  const std::vector<std::vector<Piece>> lists = {
      {{0, 0, kBlock * kBlocks}}, shuffled(kBlock, 512, 1), shuffled(4096, 2048, 2), {{1, 4097, 70'001}, {kBlock * 3 + 5, 100'003, 1}, {9, 99, 0}}, {{5, 5, 0}}, {}};
  for (const auto& pieces : lists) {
    for (const bool verify : {true, false}) {
      std::memset(pair.to->data(), 0xee, pair.to->bytes());
      ReadSpec spec = readSpec(pair.owner, over, grant, pair.to, pieces);
      spec.verify = verify;
      spec.release = false;
      const TransferResult result = pair.reader.settled(pair.reader.agent.read(spec, nullptr));
      CHECK(result.failure.ok() && sameBytes(*pair.from, *pair.to, pieces));
      CHECK(result.bytes_done == result.bytes && (result.bytes == 0 || result.transport == over.kind));
    }
  }
}

void refusesWhatIsNotGranted(const TransportCase& over) {
  Pair pair;
  GrantSpec some;
  some.ranges = {{0, kBlock}};
  GrantRef ref;
  CHECK(pair.owner.agent.grant(pair.from, some, ref).ok());
  GrantRef unknown = ref;
  unknown.id += 1000;
  CHECK(pair.reader.settled(pair.reader.agent.read(readSpec(pair.owner, over, unknown, pair.to, {{0, 0, kBlock}}), nullptr)).failure.code == Code::Expired);
  if (over.kind != TransportKind::Shm) { // a mapped pool is read whole by whoever holds the token
    const TransferResult outside = pair.reader.settled(pair.reader.agent.read(readSpec(pair.owner, over, ref, pair.to, {{kBlock, 0, kBlock}}), nullptr));
    CHECK(outside.failure.code == Code::InvalidParam);
  }
  GrantSpec beyond;
  beyond.ranges = {{kBlock * kBlocks, 1}};
  CHECK(pair.owner.agent.grant(pair.from, beyond, ref).code == Code::InvalidParam);
}

void endsWithItsGrant(const TransportCase& over) {
  Pair pair;
  const GrantRef revoked = pair.grantAll();
  CHECK(pair.owner.agent.revoke(revoked.id));
  CHECK(pair.reader.settled(pair.reader.agent.read(readSpec(pair.owner, over, revoked, pair.to, {{0, 0, kBlock}}), nullptr)).failure.code == Code::Expired);
  const GrantRef reused = pair.grantAll();
  pair.from->withdraw(3, 1);
  ReadSpec spec = readSpec(pair.owner, over, reused, pair.to, {{kBlock * 3, 0, kBlock}});
  spec.release = false;
  CHECK(pair.reader.settled(pair.reader.agent.read(spec, nullptr)).failure.code == Code::Expired);
  spec.pieces = {{kBlock * 4, 0, kBlock}};
  CHECK(pair.reader.settled(pair.reader.agent.read(spec, nullptr)).failure.ok());
  const GrantRef idle = pair.grantAll(1, 60);
  const auto ended = pair.owner.wait<GrantReport>([&](const GrantReport& report) { return report.ref.id == idle.id; });
  CHECK(ended && ended->end == GrantEnd::ExpiredNeverAsked);
  CHECK(pair.reader.settled(pair.reader.agent.read(readSpec(pair.owner, over, idle, pair.to, {{0, 0, kBlock}}), nullptr)).failure.code == Code::Expired);
}

void releasesAndNotifies(const TransportCase& over) {
  Pair pair;
  const GrantRef grant = pair.grantAll(1);
  ReadSpec spec = readSpec(pair.owner, over, grant, pair.to, {{0, 0, kBlock}});
  spec.notification = "request-1:done";
  CHECK(pair.reader.settled(pair.reader.agent.read(spec, nullptr)).failure.ok());
  const auto heard = pair.owner.notification();
  CHECK(heard && heard->payload == "request-1:done" && heard->from == "reader");
  const auto ended = pair.owner.wait<GrantReport>([](const GrantReport&) { return true; });
  CHECK(ended && ended->end == GrantEnd::Released && ended->releases == 1);
  pair.reader.agent.notify("owner", 0, spec.addresses, "alone");
  const auto alone = pair.owner.notification();
  CHECK(alone && alone->payload == "alone");
  // Nothing to read, and the first transport asked for has no address: the release finds its way.
  spec = readSpec(pair.owner, over, pair.grantAll(1), pair.to, {});
  spec.transports = {over.kind == TransportKind::Tcp ? TransportKind::Shm : TransportKind::Tcp, over.kind};
  CHECK(pair.reader.settled(pair.reader.agent.read(spec, nullptr)).failure.ok());
  const auto unread = pair.owner.wait<GrantReport>([&](const GrantReport& report) { return report.ref.id == spec.grant.id; });
  CHECK(unread && unread->end == GrantEnd::Released);
}

void settlesByDeadlineAndOnCancel(const TransportCase& over) {
  AgentOptions slow = optionsFor("reader", false);
  slow.faults = {{FaultKind::Stall, FaultSide::Read, 100'000, 0, 1, 60'000, 0, 0}};
  for (const bool cancel : {false, true}) {
    Pair pair(optionsFor("owner", true), slow);
    ReadSpec spec = readSpec(pair.owner, over, pair.grantAll(), pair.to, {{0, 0, kBlock * kBlocks}});
    spec.deadline_ms = cancel ? 30'000 : 2500;
    const int64_t start = nowNs();
    const uint64_t id = pair.reader.agent.read(spec, nullptr);
    if (cancel) {
      for (int i = 0; i < 500 && pair.reader.agent.faultReports().empty(); i++) std::this_thread::sleep_for(std::chrono::milliseconds(10));
      pair.reader.agent.cancel(id);
    }
    const TransferResult result = pair.reader.settled(id);
    CHECK(result.failure.code == (cancel ? Code::Canceled : Code::Deadline) && result.bytes_done < result.bytes);
    CHECK(nowNs() - start < (spec.deadline_ms + 1000) * kMs);
    CHECK(pair.reader.agent.faultReports().size() == 1);
  }
}

void resumesWhatIsMissing(const TransportCase& over) {
  AgentOptions broken = optionsFor("reader", false);
  broken.lanes = 1; // connections that break at the same time are set up again together, and count once
  broken.faults = {{FaultKind::Reset, FaultSide::Read, 3'000'001, 0, 2, 0, 0, 0}, {FaultKind::Flip, FaultSide::Read, 500'000, 0, 1, 0, 0, 0}};
  AgentOptions lying = optionsFor("owner", true);
  lying.faults = {{FaultKind::Flip, FaultSide::Serve, 1'000'000, 0, 2, 0, 0, 0}, {FaultKind::Duplicate, FaultSide::Serve, 600'000, 0, 2, 0, 0, 0},
                  {FaultKind::Reorder, FaultSide::Serve, 800'000, 0, 2, 0, 0, 0}, {FaultKind::Truncate, FaultSide::Serve, 6'000'000, 0, 1, 0, 0, 0}};
  Pair pair(lying, broken);
  const std::vector<Piece> pieces = shuffled(kBlock, 512, 3);
  const TransferResult result = pair.reader.settled(pair.reader.agent.read(readSpec(pair.owner, over, pair.grantAll(), pair.to, pieces), nullptr));
  CHECK(result.failure.ok() && sameBytes(*pair.from, *pair.to, pieces));
  // UCX drops what it has not delivered when it is closed; the flipped chunks may be among that.
  CHECK(result.retries >= 2);
  CHECK(result.checksum_failures >= 1 || over.kind == TransportKind::Ucx);
  CHECK(result.resumed_bytes > 0 && result.resumed_bytes < 3 * result.bytes); // counted at each of three cuts
}

void asksAgainForWhatIsWrong(const TransportCase& over) {
  AgentOptions lying = optionsFor("owner", true), misreading = optionsFor("reader", false);
  lying.faults = {{FaultKind::Flip, FaultSide::Serve, 1'000'000, 0, 2, 0, 0, 0}};
  misreading.faults = {{FaultKind::Flip, FaultSide::Read, 1'000'000, 0, 2, 0, 0, 0}}; // shared memory is copied by the reader
  Pair pair(lying, misreading);
  const std::vector<Piece> pieces = {{0, 0, kBlock * kBlocks}};
  const TransferResult result = pair.reader.settled(pair.reader.agent.read(readSpec(pair.owner, over, pair.grantAll(), pair.to, pieces), nullptr));
  CHECK(result.failure.ok() && sameBytes(*pair.from, *pair.to, pieces) && result.checksum_failures >= 1 && result.retries == 0);
}

void delaysEachChunkOnce(const TransportCase& over) {
  AgentOptions owner = optionsFor("owner", true), reader = optionsFor("reader", false);
  owner.faults = {{FaultKind::Delay, FaultSide::Serve, 0, 0, 1'000'000, 5, 0, 0}};
  reader.faults = {{FaultKind::Delay, FaultSide::Read, 0, 0, 1'000'000, 5, 0, 0}}; // shared memory is copied by the reader
  Pair pair(owner, reader);
  const std::vector<Piece> pieces = {{0, 0, kBlock * kBlocks}};
  const TransferResult result = pair.reader.settled(pair.reader.agent.read(readSpec(pair.owner, over, pair.grantAll(), pair.to, pieces), nullptr));
  const size_t chunks = (kBlock * kBlocks + reader.chunk_bytes - 1) / reader.chunk_bytes;
  CHECK(result.failure.ok() && sameBytes(*pair.from, *pair.to, pieces));
  // Shared memory is copied in slices of a chunk.
  if (over.kind == TransportKind::Shm) CHECK(pair.reader.agent.faultReports().size() >= chunks);
  else CHECK(pair.owner.agent.faultReports().size() == chunks);
}

void pushesAndNotifies(const TransportCase& over) {
  Pair pair;
  WriteSpec spec;
  spec.peer = "reader";
  spec.peer_epoch = pair.reader.agent.identity().epoch;
  spec.addresses = onlyWith(pair.reader.agent.metadata().addresses, over.prefix);
  spec.transports = {over.kind};
  spec.local = pair.from;
  spec.pieces = {{kBlock, kBlock * 2, kBlock * 5}};
  spec.notification = "pushed";
  spec.target = pair.grantAll(0, 30'000, false, pair.to);
  CHECK(pair.owner.settled(pair.owner.agent.write(spec)).failure.code == Code::InvalidParam); // not writable
  spec.target = pair.grantAll(0, 30'000, true, pair.to);
  const TransferResult result = pair.owner.settled(pair.owner.agent.write(spec));
  CHECK(result.failure.ok() && std::memcmp(pair.to->data() + kBlock, pair.from->data() + kBlock * 2, kBlock * 5) == 0);
  const auto heard = pair.reader.notification();
  CHECK(heard && heard->payload == "pushed" && heard->from == "owner");
}

void noticesDeathOfTheOwner(const TransportCase& over) {
  auto owner = std::make_unique<TestAgent>(optionsFor("owner", true));
  TestAgent reader(optionsFor("reader", false));
  const auto from = owner->agent.createPool(kBlock * 4, kBlock, true), to = reader.agent.createPool(kBlock * 4, kBlock, true);
  GrantSpec all;
  all.ranges = {{0, kBlock * 4}};
  all.readers = 0;
  GrantRef grant;
  CHECK(owner->agent.grant(from, all, grant).ok());
  ReadSpec spec = readSpec(*owner, over, grant, to, {{0, 0, kBlock}});
  spec.release = false;
  CHECK(reader.settled(reader.agent.read(spec, nullptr)).failure.ok());
  owner.reset();
  const TransferResult result = reader.settled(reader.agent.read(spec, nullptr));
  CHECK(result.failure.code == Code::RemoteDisconnect || result.failure.code == Code::Expired);
}

void checksIdentity(const TransportCase& over) {
  const auto attempt = [&](AgentOptions reader, uint64_t epoch_change) {
    Pair pair(optionsFor("owner", true), reader);
    ReadSpec spec = readSpec(pair.owner, over, pair.grantAll(), pair.to, {{0, 0, kBlock}});
    spec.peer_epoch ^= epoch_change;
    return pair.reader.settled(pair.reader.agent.read(spec, nullptr)).failure.code;
  };
  AgentOptions stranger = optionsFor("reader", false), other_model = optionsFor("reader", false);
  stranger.token = "guess";
  other_model.fingerprint = "another model";
  CHECK(attempt(stranger, 0) == Code::Unauthorized);
  CHECK(attempt(other_model, 0) == Code::Mismatch);
  CHECK(attempt(optionsFor("reader", false), 2) == Code::EpochMismatch);
}

void readsBeyondFourGigabytes(const TransportCase& over) {
  TestAgent owner(optionsFor("owner", true)), reader(optionsFor("reader", false));
  constexpr uint64_t kFar = (uint64_t(5) << 30) + 12'345, kPool = uint64_t(6) << 30;
  const auto from = owner.agent.createPool(kPool, kBlock, false), to = reader.agent.createPool(kPool, kBlock, false); // sparse: only touched pages exist
  for (uint64_t i = 0; i < 300'000; i++) from->data()[kFar + i] = static_cast<uint8_t>(i * 31 + (i >> 8));
  GrantSpec spec;
  spec.ranges = {{kFar - 100, 400'000}};
  GrantRef grant;
  CHECK(owner.agent.grant(from, spec, grant).ok());
  const std::vector<Piece> pieces = {{kFar + 7, (uint64_t(4) << 30) + 3, 299'000}};
  const TransferResult result = reader.settled(reader.agent.read(readSpec(owner, over, grant, to, pieces), nullptr));
  CHECK(result.failure.ok() && sameBytes(*from, *to, pieces));
}

/** No two neighbours; the benchmark takes 1.2 million. */
void readsVeryManyPieces(const TransportCase& over) {
  TestAgent owner(optionsFor("owner", true)), reader(optionsFor("reader", false));
  constexpr uint64_t kPiece = 256, kCount = 120'001, kPool = kPiece * 2 * (kCount + 1);
  const auto from = owner.agent.createPool(kPool, kPiece * 2, true), to = reader.agent.createPool(kPool, kPiece * 2, true);
  fillRandom(*from, 11);
  GrantSpec all;
  all.ranges = {{0, kPool}};
  GrantRef grant;
  CHECK(owner.agent.grant(from, all, grant).ok());
  std::vector<Piece> pieces;
  for (uint64_t i = 0; i < kCount; i++) pieces.push_back({(i * 7919 % kCount) * 2 * kPiece, i * 2 * kPiece, kPiece});
  const TransferResult result = reader.settled(reader.agent.read(readSpec(owner, over, grant, to, pieces), nullptr));
  CHECK(result.failure.ok() && result.pieces == kCount && sameBytes(*from, *to, pieces));
}

/** Memory that was there before is read by socket, and the result says why. */
void readsMemoryThatCannotBeMapped() {
  TestAgent owner(optionsFor("owner", true)), reader(optionsFor("reader", false));
  auto let_go = std::make_shared<std::atomic<bool>>(false);
  std::vector<uint8_t> memory(kBlock * 64);
  for (size_t i = 0; i < memory.size(); i++) memory[i] = static_cast<uint8_t>(i * 131 + (i >> 9));
  auto from = owner.agent.registerMemory(memory.data(), memory.size(), kBlock, std::shared_ptr<const void>(memory.data(), [let_go](const void*) { *let_go = true; }));
  const auto to = reader.agent.createPool(memory.size(), kBlock, true);
  GrantSpec all;
  all.ranges = {{0, memory.size()}};
  GrantRef grant;
  CHECK(owner.agent.grant(from, all, grant).ok());
  ReadSpec spec = readSpec(owner, kTransports[0], grant, to, {{0, 0, memory.size()}});
  spec.addresses = owner.agent.metadata().addresses;
  spec.transports = {TransportKind::Shm, TransportKind::Tcp};
  const TransferResult result = reader.settled(reader.agent.read(spec, nullptr));
  CHECK(result.failure.ok() && sameBytes(*from, *to, spec.pieces) && result.transport == TransportKind::Tcp);
  CHECK(result.fallbacks.size() == 1 && result.fallbacks[0].from == TransportKind::Shm && result.fallbacks[0].why.code == Code::NotSupported);
  owner.agent.dropPool(from->id());
  from.reset();
  for (int i = 0; i < 500 && !*let_go; i++) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  CHECK(*let_go);
}

} // namespace

/** Arguments: the transports to test; none = all. */
int main(int count, char** arguments) {
  readsMemoryThatCannotBeMapped();
  overTransports(count, arguments, [](const TransportCase& over) {
    readsExactly(over);
    refusesWhatIsNotGranted(over);
    endsWithItsGrant(over);
    releasesAndNotifies(over);
    settlesByDeadlineAndOnCancel(over);
    resumesWhatIsMissing(over);
    asksAgainForWhatIsWrong(over);
    delaysEachChunkOnce(over);
    pushesAndNotifies(over);
    noticesDeathOfTheOwner(over);
    checksIdentity(over);
    readsBeyondFourGigabytes(over);
    readsVeryManyPieces(over);
  });
}
