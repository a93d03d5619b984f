#pragma once
#include <cstdint>

#include "chunk_plan.h"

namespace dynamo_labs::transfer {

/**
 * Copies a chunk that lies in one piece to its places in `to`, from its beginning to its end, some of it at a time. Large parts go past the caches: what is
 * overwritten whole need not be fetched first, and whoever computes with it comes later. Once it is destroyed, all of it is visible to other threads as
 * after any other store.
 */
class ScatterStore {
public:
  ScatterStore(uint8_t* to, const uint8_t* from, const Piece* begin, const Piece* end) : to_(to), from_(from), piece_(begin), end_(end) {}
  ~ScatterStore();
  ScatterStore(const ScatterStore&) = delete;
  ScatterStore& operator=(const ScatterStore&) = delete;

  /** The next bytes of it, or what is left. */
  void put(uint64_t bytes);

private:
  uint8_t* const to_;
  const uint8_t* from_;
  const Piece* piece_;
  const Piece* const end_;
  /** Bytes of `piece_` that are in their place. */
  uint64_t done_ = 0;
};

/** Zeros over all places of a chunk: what did not prove right does not stay. */
void wipe(uint8_t* to, const Piece* begin, const Piece* end);

} // namespace dynamo_labs::transfer
