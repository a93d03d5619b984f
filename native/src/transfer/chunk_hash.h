#pragma once
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

namespace dynamo_labs::transfer {

class ScatterStore;

/** XXH3-64, seed 0, over the bytes. The fastest instruction set of this machine; all give the same value. */
uint64_t hashBytes(const void* data, size_t bytes);
/** The same over the pieces laid end to end. */
uint64_t hashPieces(const iovec* pieces, size_t count);
/** The same over a chunk that goes to its places on the way: the processor hashes on while stores are on their way to memory. */
uint64_t hashAndStore(const uint8_t* data, size_t bytes, ScatterStore& places);

} // namespace dynamo_labs::transfer
