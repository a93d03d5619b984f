// The small parts of the transfer engine against published vectors and the obvious ways to do the same.
#include <cstring>
#include <random>

#include "transfer/check.h"
#include "transfer/chunk_hash.h"
#include "transfer/chunk_plan.h"
#include "transfer/fault_plan.h"
#include "transfer/frame.h"
#include "transfer/scatter_store.h"
#include "transfer/serving_session.h"
#include "transfer/sha256.h"
#include "transfer/verified_copy.h"
#include "transfer/wanted_chunks.h"

using namespace dynamo_labs::transfer;

#if defined(__x86_64__)
namespace dynamo_labs::transfer::avx512 {
bool copyVerified(uint8_t* to, const uint8_t* from, const Piece* begin, const Piece* end);
}
#endif

static std::string hex(const Digest& digest) {
  std::string out;
  char two[3];
  for (const uint8_t byte : digest) std::snprintf(two, sizeof(two), "%02x", byte), out += two;
  return out;
}

static void publishedVectors() {
  CHECK(hex(sha256("")) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hex(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")) == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(hex(hmacSha256("Jefe", "what do ya want for nothing?")) == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"); // RFC 4231, 2
  CHECK(hex(hmacSha256(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First")) ==
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"); // RFC 4231, 6
  CHECK(hashBytes("", 0) == 0x2d06800538d394c2u);                           // xxHash's own test vector
}

static void piecesHashAsOne() {
  std::mt19937_64 random(3);
  std::vector<uint8_t> bytes(300'000);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  for (int round = 0; round < 200; round++) {
    const size_t total = random() % bytes.size();
    std::vector<iovec> pieces;
    for (size_t at = 0; at < total;) {
      const size_t take = std::min<size_t>(1 + random() % 20'000, total - at);
      pieces.push_back({bytes.data() + at, take});
      at += take;
    }
    CHECK(hashPieces(pieces.data(), pieces.size()) == hashBytes(bytes.data(), total));
  }
}

/** Every byte of every piece is in exactly one chunk, in order; chunks keep their limits. */
static void plansCoverEverything() {
  std::mt19937_64 random(4);
  for (int round = 0; round < 300; round++) {
    std::vector<Piece> pieces;
    uint64_t remote = 0, local = 0;
    for (uint64_t i = random() % 3000; i > 0; i--) {
      const uint64_t length = random() % (round % 3 == 0 ? 20'000 : 300);
      if (random() % 2) remote += random() % 1000, local += random() % 1000;
      pieces.push_back({remote, local, length});
      remote += length, local += length;
    }
    const uint32_t chunk_bytes = 4096 + static_cast<uint32_t>(random() % 100'000);
    const ChunkPlan plan(pieces, chunk_bytes);
    std::vector<Piece> joined;
    for (uint32_t chunk = 0; chunk < plan.chunks(); chunk++) {
      CHECK(plan.chunkBytes(chunk) > 0 && plan.chunkBytes(chunk) <= chunk_bytes && plan.end(chunk) - plan.begin(chunk) <= 1000);
      joined.insert(joined.end(), plan.begin(chunk), plan.end(chunk));
    }
    size_t at = 0;
    uint64_t inside = 0, bytes = 0;
    for (const Piece& piece : pieces) {
      for (uint64_t done = 0; done < piece.length;) {
        CHECK(at < joined.size() && joined[at].remote + inside == piece.remote + done && joined[at].local + inside == piece.local + done);
        const uint64_t step = std::min(piece.length - done, joined[at].length - inside);
        done += step, inside += step, bytes += step;
        if (inside == joined[at].length) at++, inside = 0;
      }
    }
    CHECK(at == joined.size() && bytes == plan.bytes());
  }
}

static void rangesMergeAndCover() {
  const std::vector<Range> merged = mergeRanges({{100, 50}, {0, 10}, {150, 5}, {10, 0}, {120, 10}});
  CHECK(merged.size() == 2 && merged[1].offset == 100 && merged[1].length == 55);
  CHECK(covers(merged, 100, 55) && covers(merged, 154, 1) && covers(merged, 0, 10) && covers(merged, 155, 0));
  CHECK(!covers(merged, 100, 56) && !covers(merged, 99, 2) && !covers(merged, 0, 11) && !covers(merged, 0, UINT64_MAX) && !covers(merged, UINT64_MAX, 1) && !covers({}, 0, 1));
}

static void headersAreGuarded() {
  uint8_t bytes[kHeaderBytes];
  FrameHeader header{FrameType::Data, 1, 2, 3, 4, 5, 6}, back;
  encodeHeader(header, bytes);
  CHECK(decodeHeader(bytes, back) == FrameError::None && back.transfer == 2 && back.aux == 3 && back.sequence == 4 && back.length == 5 && back.payload_hash == 6);
  for (size_t bit = 0; bit < kHeaderBytes * 8; bit++) {
    bytes[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    CHECK(decodeHeader(bytes, back) != FrameError::None);
    bytes[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
  }
  for (uint8_t type = 1; type <= kFrameTypes; type++) {
    header.type = static_cast<FrameType>(type);
    header.length = maxPayload(header.type);
    encodeHeader(header, bytes);
    CHECK(decodeHeader(bytes, back) == FrameError::None);
    header.length++;
    encodeHeader(header, bytes);
    CHECK(decodeHeader(bytes, back) == FrameError::Length);
  }
}

static void faultsAreRepeatable() {
  const std::vector<FaultSpec> specs = {{FaultKind::Reset, FaultSide::Serve, 1000, 5000, 3, 0, 0, 0}, {FaultKind::Stall, FaultSide::Read, 10, 0, 1, 5, 0, 0}};
  const auto schedule = [&](uint64_t seed) {
    FaultPlan plan(specs, seed);
    std::vector<uint64_t> at;
    for (uint64_t moved = 0, i = 0; i < 100; i++) {
      const FaultStep step = plan.pass(FaultSide::Serve, 300);
      moved += step.allowed;
      if (step.fault) at.push_back(moved);
    }
    CHECK(plan.reports().empty()); // planned is not done
    return at;
  };
  CHECK(schedule(1) == schedule(1) && schedule(1) != schedule(2) && schedule(1).size() == 3);
}

static void notificationsAreSeenOnce() {
  NotificationLog log;
  CHECK(log.first(1, 1) && log.first(1, 2) && !log.first(1, 1) && log.first(2, 1));
}

static void copiesAreComparedWithTheirSource() {
  std::mt19937_64 random(5);
  std::vector<uint8_t> from(200'000), to(200'000), expected(200'000);
  for (uint8_t& byte : from) byte = static_cast<uint8_t>(random());
  for (int round = 0; round < 300; round++) {
    std::fill(to.begin(), to.end(), uint8_t(0));
    std::fill(expected.begin(), expected.end(), uint8_t(0));
    std::vector<Piece> pieces;
    for (uint64_t at = random() % 200; at < to.size();) {
      const uint64_t length = std::min<uint64_t>(random() % (random() % 2 ? 300 : 20'000), to.size() - at);
      pieces.push_back({random() % (from.size() - length + 1), at, length});
      std::copy_n(from.begin() + static_cast<ptrdiff_t>(pieces.back().remote), length, expected.begin() + static_cast<ptrdiff_t>(at));
      at += length + random() % 100;
    }
    CHECK(copyVerified(to.data(), from.data(), pieces.data(), pieces.data() + pieces.size()));
    CHECK(to == expected);
  }
  // The second piece writes over the first: allowed, the later one counts. A comparison that comes after both notices.
  for (const uint64_t apart : {0, 1, 64, 127, 128, 4000, 4095}) {
    const Piece overlapping[] = {{0, 0, 4096}, {8192, apart, 4096}};
    CHECK(copyVerified(to.data(), from.data(), overlapping, overlapping + 2));
    CHECK(std::equal(from.begin() + 8192, from.begin() + 8192 + 4096, to.begin() + static_cast<ptrdiff_t>(apart)));
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) CHECK(!avx512::copyVerified(to.data(), from.data(), overlapping, overlapping + 2));
#endif
  }
}

static void chunksAreStoredInPlace() {
  std::mt19937_64 random(6);
  std::vector<uint8_t> chunk(300'000), to(400'000), expected(400'000);
  for (uint8_t& byte : chunk) byte = static_cast<uint8_t>(random());
  for (int round = 0; round < 300; round++) {
    std::fill(to.begin(), to.end(), uint8_t(0));
    std::fill(expected.begin(), expected.end(), uint8_t(0));
    std::vector<Piece> pieces;
    uint64_t used = 0;
    for (uint64_t at = random() % 200; at < to.size() && used < chunk.size();) {
      const uint64_t length = std::min({random() % (random() % 2 ? 300 : 20'000), to.size() - at, chunk.size() - used});
      pieces.push_back({0, at, length});
      std::copy_n(chunk.begin() + static_cast<ptrdiff_t>(used), length, expected.begin() + static_cast<ptrdiff_t>(at));
      used += length;
      at += length + random() % 100;
    }
    {
      ScatterStore places(to.data(), chunk.data(), pieces.data(), pieces.data() + pieces.size());
      CHECK(hashAndStore(chunk.data(), used, places) == hashBytes(chunk.data(), used));
    }
    CHECK(to == expected);
    std::fill(to.begin(), to.end(), uint8_t(0));
    {
      ScatterStore places(to.data(), chunk.data(), pieces.data(), pieces.data() + pieces.size());
      for (uint64_t left = used, take; left > 0; left -= take) places.put(take = std::min<uint64_t>(1 + random() % 5'000, left));
    }
    CHECK(to == expected);
    wipe(to.data(), pieces.data(), pieces.data() + pieces.size());
    CHECK(to == std::vector<uint8_t>(to.size()));
  }
}

/** A chunk counts once, from the connection that was asked for it, and not from one that was lost. */
static void chunksCountFromWhomTheyWereAskedOf() {
  using Fate = WantedChunks::Fate;
  std::atomic<uint64_t> outstanding{0};
  WantedChunks wanted(outstanding, 1 << 20);
  ReadSpec spec;
  spec.pieces = {{0, 0, 4 * 4096}};
  const auto transfer = std::make_shared<Transfer>(1, spec, 4096);
  const char first = 0, second = 0;
  bool full = false;
  wanted.add(transfer);
  CHECK(!wanted.next(&first, full)); // not open yet
  wanted.open(&first);
  wanted.open(&second);
  const auto asked = wanted.next(&first, full), other = wanted.next(&second, full);
  CHECK(asked && other && asked->chunk == 0 && other->chunk == 1 && outstanding == 8192);
  CHECK(!wanted.expected(&second, 1, 0) && wanted.arrived(&second, 1, 0, Fate::Right).effect == WantedChunks::Effect::None);
  CHECK(wanted.expected(&first, 1, 0) && wanted.arrived(&first, 1, 0, Fate::Right).effect == WantedChunks::Effect::Counted);
  CHECK(wanted.arrived(&first, 1, 0, Fate::Right).effect == WantedChunks::Effect::None && outstanding == 4096);
  wanted.lost(&second);
  CHECK(outstanding == 0 && !wanted.next(&second, full) && wanted.arrived(&second, 1, 1, Fate::Right).effect == WantedChunks::Effect::None);
  CHECK(wanted.next(&first, full)->chunk == 1 && wanted.arrived(&first, 1, 1, Fate::Wrong).effect == WantedChunks::Effect::Wrong);
  for (uint32_t chunk = 1; chunk < 4; chunk++) {
    CHECK(wanted.next(&first, full)->chunk == chunk && wanted.holds(1));
    CHECK(wanted.arrived(&first, 1, chunk, Fate::Right).effect == (chunk < 3 ? WantedChunks::Effect::Counted : WantedChunks::Effect::Complete));
  }
  CHECK(!wanted.holds(1) && outstanding == 0 && transfer->complete());

  // What arrives when nobody may write it any more is neither right nor wrong.
  const auto stopped = std::make_shared<Transfer>(2, spec, 4096);
  wanted.add(stopped);
  CHECK(wanted.next(&first, full)->transfer == stopped && stopped->stop({Code::Canceled}));
  const WantedChunks::Arrival late = wanted.arrived(&first, 2, 0, Fate::Unwanted);
  CHECK(late.effect == WantedChunks::Effect::None && late.bytes == 4096 && !late.transfer && outstanding == 0 && stopped->checksum_failures == 0);
}

int main() {
  publishedVectors();
  piecesHashAsOne();
  plansCoverEverything();
  rangesMergeAndCover();
  headersAreGuarded();
  faultsAreRepeatable();
  notificationsAreSeenOnce();
  copiesAreComparedWithTheirSource();
  chunksAreStoredInPlace();
  chunksCountFromWhomTheyWereAskedOf();
}
