#pragma once
#include <cstdint>

#include "unique_fd.h"

namespace dynamo_labs::transfer {

/** A sealed memfd, mapped: it never grows or shrinks, and nobody else can map it writable. Throws std::system_error. */
UniqueFd makeSlab(const char* name, uint64_t bytes, void** mapped);
/** Maps another process's slab read-only. Throws std::system_error. */
const void* mapSlab(int fd, uint64_t bytes);
/** How long it is; throws std::runtime_error where it is not sealed against shrinking. */
uint64_t sealedSize(int fd);
/**
 * Gives a slab all of its memory now: in huge pages where the kernel has them, otherwise in small ones. What is copied out of or into huge pages, by us
 * or by a socket, goes up to twice as fast: with 4 KiB pages each piece of a scattered list begins with a walk through page tables that no cache holds.
 */
void populateSlab(void* mapped, uint64_t bytes);

} // namespace dynamo_labs::transfer
