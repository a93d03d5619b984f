#include "chunk_hash.h"

namespace dynamo_labs::transfer {

namespace portable {
uint64_t hashBytes(const void* data, size_t bytes);
uint64_t hashPieces(const iovec* pieces, size_t count);
} // namespace portable

#if defined(__x86_64__)
namespace avx2 {
uint64_t hashBytes(const void* data, size_t bytes);
uint64_t hashPieces(const iovec* pieces, size_t count);
} // namespace avx2

static const bool has_avx2 = __builtin_cpu_supports("avx2");

uint64_t hashBytes(const void* data, size_t bytes) { return has_avx2 ? avx2::hashBytes(data, bytes) : portable::hashBytes(data, bytes); }
uint64_t hashPieces(const iovec* pieces, size_t count) { return has_avx2 ? avx2::hashPieces(pieces, count) : portable::hashPieces(pieces, count); }
#else
uint64_t hashBytes(const void* data, size_t bytes) { return portable::hashBytes(data, bytes); }
uint64_t hashPieces(const iovec* pieces, size_t count) { return portable::hashPieces(pieces, count); }
#endif

} // namespace dynamo_labs::transfer
