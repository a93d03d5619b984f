#pragma once
#include <algorithm>
#include <random>
#include <vector>

#include "agent_fixture.h"

namespace dynamo_labs::transfer {

inline constexpr uint64_t kBlock = 16 << 10, kBlocks = 512;

/** Two agents, each with a pool; the owner's is filled. */
struct Pair {
  TestAgent owner, reader;
  std::shared_ptr<Pool> from, to;
  explicit Pair(AgentOptions owner_options = optionsFor("owner", true), AgentOptions reader_options = optionsFor("reader", true))
      : owner(owner_options), reader(reader_options) {
    from = owner.agent.createPool(kBlock * kBlocks, kBlock, true);
    to = reader.agent.createPool(kBlock * kBlocks, kBlock, true);
    fillRandom(*from, 7);
  }
  GrantRef grantAll(uint32_t readers = 0, int64_t lease_ms = 30'000, bool writable = false, const std::shared_ptr<Pool>& pool = nullptr) {
    GrantSpec spec;
    spec.ranges = {{0, kBlock * kBlocks}};
    spec.readers = readers;
    spec.lease_ms = lease_ms;
    spec.writable = writable;
    GrantRef ref;
    CHECK((pool ? reader : owner).agent.grant(pool ? pool : from, spec, ref).ok());
    return ref;
  }
};

/** At most `count` pieces of this size, from random places to random places. */
inline std::vector<Piece> shuffled(uint64_t piece, uint64_t count, uint64_t seed) {
  std::vector<uint64_t> remote(kBlock * kBlocks / piece), local(remote.size());
  for (uint64_t i = 0; i < remote.size(); i++) remote[i] = local[i] = i * piece;
  std::mt19937_64 random(seed);
  std::shuffle(remote.begin(), remote.end(), random);
  std::shuffle(local.begin(), local.end(), random);
  std::vector<Piece> pieces;
  for (uint64_t i = 0; i < std::min<uint64_t>(count, remote.size()); i++) pieces.push_back({remote[i], local[i], piece});
  return pieces;
}

} // namespace dynamo_labs::transfer
