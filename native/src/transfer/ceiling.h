#pragma once
#include <cstdint>
#include <vector>

#include "chunk_plan.h"

namespace dynamo_labs::transfer {

// What a transfer is compared with by the benchmark, on the same machine in the same minute. Both return seconds; 0 where a system call failed.
/** One memcpy per piece, on the calling thread. */
double copyPieces(uint8_t* to, const uint8_t* from, const std::vector<Piece>& pieces);
/** Two threads, one loopback connection, plain send and recv of 1 MiB: what a socket gives without framing, checksums or flow control. */
double socketCopy(uint8_t* to, const uint8_t* from, uint64_t bytes, bool tcp);

} // namespace dynamo_labs::transfer
