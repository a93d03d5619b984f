// Plain C++ checks of the router index: golden hashes, and random operations against the obvious containers.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <unordered_map>
#include <vector>

#include "index/active_blocks.h"
#include "index/block_hash.h"
#include "index/prefix_index.h"
#include "index/run_map.h"
#include "index/slot_sets.h"

using namespace dynamo_labs::index;

#define CHECK(condition)                                                                                                                             \
  do {                                                                                                                                               \
    if (!(condition)) {                                                                                                                              \
      std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                                                   \
      std::exit(1);                                                                                                                                  \
    }                                                                                                                                                \
  } while (false)

static void goldenHashes() {
  const uint32_t tokens[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  uint64_t local[3], sequence[3];
  hashBlocks(tokens, 12, 4, kBlockHashSeed, local, sequence);
  CHECK(local[0] == 14643705804678351452u && local[1] == 16777012769546811212u && local[2] == 483935686894639516u);
  uint64_t again[3];
  hashBlocks(tokens, 12, 4, kBlockHashSeed, nullptr, again);
  CHECK(std::equal(again, again + 3, sequence));
  CHECK(sequence[0] == local[0] && sequence[1] == 4945711292740353085u && sequence[2] == 12583592247330656132u);
}

/** Runs and scattered keys; growing for the first half, shrinking in the second. */
template <unsigned kSegmentBits> static void mapAgainstStandard() {
  std::mt19937_64 random(1);
  RunMap<uint64_t, kSegmentBits> map;
  std::unordered_map<uint64_t, uint64_t> model;
  uint32_t last = kNoId;
  for (int step = 0; step < 400'000; step++) {
    // Dense small keys, huge ones and 0.
    const uint64_t key = random() % 3 == 0 ? random() % 5000 : (random() % 5000) << 40;
    if (random() % 100 < (step < 200'000 ? 60u : 30u)) {
      const auto [id, made] = map.insert(key, random() % 2 == 0 ? last : static_cast<uint32_t>(random()));
      CHECK(made == model.emplace(key, step).second);
      CHECK(map.isAt(id, key) && map.key(id) == key);
      if (made) map.value(id) = static_cast<uint64_t>(step);
      last = id;
    } else {
      const uint32_t id = map.find(key);
      CHECK((id != kNoId) == (model.erase(key) == 1));
      if (id != kNoId) map.erase(id);
    }
    const uint64_t asked = random() % 5000;
    const auto found = model.find(asked);
    CHECK((map.find(asked) == kNoId) == (found == model.end()));
    CHECK(map.size() == model.size());
  }
  size_t visited = 0;
  map.forEach([&](uint64_t key, uint64_t value) {
    CHECK(model.at(key) == value);
    visited++;
  });
  CHECK(visited == model.size());
  for (const auto& [key, value] : model) map.erase(map.find(key));
  CHECK(map.size() == 0 && map.bytes() == 0);
}

/** Runs that come and go in any order, read by guesses: every key is found, and memory does not grow with the number of rounds. */
static void runsAgainstStandard() {
  std::mt19937_64 random(4);
  RunMap<uint32_t> map;
  std::vector<std::vector<uint64_t>> runs(60);
  for (auto& run : runs) {
    run.resize(1 + random() % 300);
    for (uint64_t& key : run) key = random() % 4 == 0 ? random() % 64 : random();
  }
  std::set<uint64_t> model;
  size_t most_bytes = 0;
  for (int round = 0; round < 3000; round++) {
    const auto& run = runs[random() % runs.size()];
    if (random() % 2 == 0) {
      uint32_t last = kNoId;
      for (const uint64_t key : run) {
        const auto [id, made] = map.insert(key, last);
        CHECK(made == model.insert(key).second);
        last = id;
      }
    } else {
      std::vector<uint64_t> keys(run);
      if (random() % 2 == 0) std::reverse(keys.begin(), keys.end());
      RunReader<RunMap<uint32_t>> reader(map);
      for (size_t at = 0; at < keys.size(); at++) {
        const uint32_t id = reader.at(keys.data(), keys.size(), at);
        CHECK((id != kNoId) == (model.erase(keys[at]) == 1));
        if (id != kNoId) map.erase(id);
      }
    }
    CHECK(map.size() == model.size());
    for (const uint64_t key : runs[random() % runs.size()]) CHECK((map.find(key) != kNoId) == (model.count(key) == 1));
    if (round == 1000) most_bytes = map.bytes();
    if (round > 1000) CHECK(map.bytes() <= 2 * most_bytes);
  }
}

static void setsAgainstStandard() {
  std::mt19937 random(2);
  SlotSets sets;
  constexpr size_t kWords = 40;
  std::vector<uint32_t> words(kWords, SlotSets::kEmpty);
  std::vector<std::set<uint32_t>> models(kWords);
  for (int step = 0; step < 200'000; step++) {
    // Several words change in the same way, as the blocks of one prefix do.
    const size_t first = random() % kWords;
    const uint32_t range = step % 3 == 0 ? 2000 : 6;
    const uint32_t slot = random() % range;
    const bool add = random() % 100 < (step / 20'000 % 2 == 0 ? 60u : 40u);
    for (size_t at = first; at < std::min(first + 4, kWords); at++) {
      const bool had = models[at].count(slot) == 1;
      const uint32_t before = words[at];
      words[at] = add ? sets.with(before, slot) : sets.without(before, slot);
      if (add) models[at].insert(slot);
      else models[at].erase(slot);
      CHECK((words[at] == before) == (had == add));
      CHECK((words[at] == SlotSets::kEmpty) == models[at].empty());
      for (uint32_t asked = 0; asked < 6; asked++) CHECK(sets.contains(words[at], asked) == (models[at].count(asked) == 1));
    }
    SlotSets::Piece scratch = 0;
    const auto [data, count] = sets.pieces(words[first], scratch);
    size_t listed = 0;
    for (size_t piece = 0; piece < count; piece++) {
      CHECK((data[piece] & UINT32_MAX) != 0 && (piece == 0 || data[piece - 1] >> 32 < data[piece] >> 32));
      listed += static_cast<size_t>(__builtin_popcountll(data[piece] & UINT32_MAX));
    }
    CHECK(listed == models[first].size());
  }
  for (size_t at = 0; at < kWords; at++) {
    for (const uint32_t slot : models[at]) words[at] = sets.without(words[at], slot);
    CHECK(words[at] == SlotSets::kEmpty);
  }
  CHECK(sets.bytes() == 0);
}

/** The definition: per slot the set of held sequence hashes. */
static void indexAgainstModel() {
  std::mt19937_64 random(3);
  constexpr uint32_t kSlots = 70;
  PrefixIndex index;
  std::vector<std::map<uint64_t, uint64_t>> known(kSlots);
  for (int step = 0; step < 60'000; step++) {
    const uint32_t slot = static_cast<uint32_t>(random() % kSlots);
    std::vector<uint64_t> local(1 + random() % 6), engine(local.size()), sequence(local.size());
    for (size_t i = 0; i < local.size(); i++) {
      local[i] = random() % 3;
      sequence[i] = i == 0 ? local[i] : sequenceHash(sequence[i - 1], local[i]);
      engine[i] = sequence[i] ^ 0x55;
    }
    if (random() % 3 != 0) {
      CHECK(index.store(slot, std::nullopt, engine.data(), local.data(), local.size(), std::nullopt) == StoreStatus::kOk);
      for (size_t i = 0; i < local.size(); i++) known[slot][engine[i]] = sequence[i];
    } else {
      size_t missing = 0;
      for (const uint64_t hash : engine) missing += known[slot].erase(hash) == 1 ? 0 : 1;
      CHECK(index.remove(slot, engine.data(), engine.size()) == missing);
    }
    if (random() % 500 == 0) {
      CHECK(index.clear(slot) == known[slot].size());
      known[slot].clear();
    }
    uint32_t overlaps[kSlots];
    index.match(sequence.data(), sequence.size(), overlaps, kSlots);
    for (uint32_t asked = 0; asked < kSlots; asked++) {
      uint32_t depth = 0;
      while (depth < sequence.size() && known[asked].count(engine[depth]) == 1) depth++;
      CHECK(overlaps[asked] == depth);
    }
  }
  for (uint32_t slot = 0; slot < kSlots; slot++) index.clear(slot);
  CHECK(index.blocks() == 0 && index.holdings() == 0);
}

static void activeBlocksCount() {
  ActiveBlocks active;
  const uint64_t first[3] = {1, 2, 3}, second[3] = {1, 2, 9};
  const uint32_t one = active.acquire(5, first, 3);
  const uint32_t other = active.acquire(5, second, 3);
  CHECK(active.count(5) == 4);
  uint32_t shared[8];
  active.sharedPrefix(second, 3, shared, 8);
  CHECK(shared[5] == 3 && shared[4] == 0);
  active.release(4, other);
  CHECK(active.count(5) == 4);
  active.release(5, other);
  CHECK(active.count(5) == 3);
  active.release(5, one);
  active.release(5, one);
  active.release(5, 12345);
  CHECK(active.count(5) == 0);
  CHECK(active.acquire(5, nullptr, 0) == kNoId);
}

/** The definition: per slot the multiset of prefixes. */
static void activeAgainstModel() {
  std::mt19937_64 random(7);
  constexpr uint32_t kSlots = 5;
  ActiveBlocks active;
  struct Running {
    uint32_t slot;
    uint32_t end;
    std::vector<uint64_t> sequence;
  };
  std::vector<Running> running;
  std::vector<std::map<std::vector<uint64_t>, int>> used(kSlots);
  const auto change = [&](const Running& request, int by) {
    std::vector<uint64_t> prefix;
    for (const uint64_t block : request.sequence) {
      prefix.push_back(block);
      if ((used[request.slot][prefix] += by) == 0) used[request.slot].erase(prefix);
    }
  };
  for (int step = 0; step < 30'000; step++) {
    if (running.empty() || random() % 100 < (step / 3000 % 2 == 0 ? 60u : 40u)) {
      Running request{static_cast<uint32_t>(random() % kSlots), 0, std::vector<uint64_t>(random() % 9)};
      for (uint64_t& block : request.sequence) block = random() % 2;
      request.end = active.acquire(request.slot, request.sequence.data(), request.sequence.size());
      change(request, 1);
      running.push_back(request);
    } else {
      std::swap(running[random() % running.size()], running.back());
      active.release(running.back().slot, running.back().end);
      change(running.back(), -1);
      running.pop_back();
    }
    std::vector<uint64_t> asked(random() % 9);
    for (uint64_t& block : asked) block = random() % 2;
    uint32_t shared[kSlots];
    active.sharedPrefix(asked.data(), asked.size(), shared, kSlots);
    for (uint32_t slot = 0; slot < kSlots; slot++) {
      CHECK(active.count(slot) == used[slot].size());
      std::vector<uint64_t> prefix;
      uint32_t depth = 0;
      for (; depth < asked.size(); depth++) {
        prefix.push_back(asked[depth]);
        if (used[slot].count(prefix) == 0) break;
      }
      CHECK(shared[slot] == depth);
    }
  }
}

int main() {
  goldenHashes();
  mapAgainstStandard<0>();
  mapAgainstStandard<6>();
  runsAgainstStandard();
  setsAgainstStandard();
  indexAgainstModel();
  activeBlocksCount();
  activeAgainstModel();
  std::puts("index: ok");
}
