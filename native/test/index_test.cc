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
#include "index/flat_map.h"
#include "index/prefix_index.h"
#include "index/slot_set.h"

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

static void mapAgainstStandard() {
  std::mt19937_64 random(1);
  FlatMap<uint64_t> map;
  std::unordered_map<uint64_t, uint64_t> model;
  for (int step = 0; step < 400'000; step++) {
    // Dense small keys, huge ones and 0; growing for the first half, shrinking in the second.
    const uint64_t key = random() % 3 == 0 ? random() % 5000 : (random() % 5000) << 40;
    if (random() % 100 < (step < 200'000 ? 60u : 30u)) {
      const auto [value, made] = map.insert(key);
      CHECK(made == model.emplace(key, step).second);
      if (made) *value = static_cast<uint64_t>(step);
    } else {
      CHECK(map.erase(key) == (model.erase(key) == 1));
    }
    const uint64_t asked = random() % 5000;
    const auto found = model.find(asked);
    CHECK((map.find(asked) == nullptr) == (found == model.end()));
    CHECK(map.size() == model.size());
  }
  size_t visited = 0;
  map.forEach([&](uint64_t key, uint64_t value) {
    CHECK(model.at(key) == value);
    visited++;
  });
  CHECK(visited == model.size());
  for (const auto& [key, value] : model) CHECK(map.erase(key));
  CHECK(map.size() == 0 && map.bytes() <= 256 * 16);
}

static void setAgainstStandard() {
  std::mt19937 random(2);
  for (int round = 0; round < 2000; round++) {
    SlotSet set;
    std::set<uint32_t> model;
    const uint32_t range = round % 2 == 0 ? 6 : 2000;
    for (int step = 0; step < 60; step++) {
      const uint32_t slot = random() % range;
      if (random() % 2 == 0) CHECK(set.insert(slot) == model.insert(slot).second);
      else CHECK(set.erase(slot) == (model.erase(slot) == 1));
      CHECK(set.empty() == model.empty());
      for (uint32_t asked = 0; asked < 6; asked++) CHECK(set.contains(asked) == (model.count(asked) == 1));
    }
    uint64_t words[32];
    set.copyTo(words, 32);
    for (uint32_t slot = 0; slot < 2000; slot++) CHECK((words[slot / 64] >> (slot % 64) & 1) == model.count(slot));
  }
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
  active.acquire(5, first, 3);
  active.acquire(5, second, 3);
  CHECK(active.count(5) == 4);
  uint32_t shared[8];
  active.sharedPrefix(second, 3, shared, 8);
  CHECK(shared[5] == 3 && shared[4] == 0);
  active.release(5, second, 3);
  CHECK(active.count(5) == 3);
  active.release(5, first, 3);
  active.release(5, first, 3);
  CHECK(active.count(5) == 0);
}

int main() {
  goldenHashes();
  mapAgainstStandard();
  setAgainstStandard();
  indexAgainstModel();
  activeBlocksCount();
  std::puts("index: ok");
}
