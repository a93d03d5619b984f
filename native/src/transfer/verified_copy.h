#pragma once
#include "chunk_plan.h"

namespace dynamo_labs::transfer {

/**
 * Copies the pieces and compares every byte at the destination with the source; false where one differs. Both sides are read again for that, from
 * memory as it is then, while they are still in the cache.
 */
bool copyVerified(uint8_t* to, const uint8_t* from, const Piece* begin, const Piece* end);

} // namespace dynamo_labs::transfer
