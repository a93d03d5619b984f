#pragma once
#include <cstdint>

#include "chunk_plan.h"

namespace dynamo_labs::transfer {

/**
 * Copies a chunk that lies in one piece to its places in `to`. Large pieces go past the caches: what is overwritten whole need not be fetched first, and
 * whoever computes with it comes later. All of it is visible to other threads as after any other store.
 */
void scatterStore(uint8_t* to, const uint8_t* from, const Piece* begin, const Piece* end);

} // namespace dynamo_labs::transfer
