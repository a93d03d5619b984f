#include "chunk_hash.h"

namespace dynamo_labs::transfer {

namespace portable {
uint64_t hashBytes(const void* data, size_t bytes);
uint64_t hashPieces(const iovec* pieces, size_t count);
uint64_t hashAndStore(const uint8_t* data, size_t bytes, ScatterStore& places);
} // namespace portable

#if defined(__x86_64__)
namespace avx2 {
uint64_t hashBytes(const void* data, size_t bytes);
uint64_t hashPieces(const iovec* pieces, size_t count);
uint64_t hashAndStore(const uint8_t* data, size_t bytes, ScatterStore& places);
} // namespace avx2

namespace avx512 {
uint64_t hashBytes(const void* data, size_t bytes);
uint64_t hashPieces(const iovec* pieces, size_t count);
uint64_t hashAndStore(const uint8_t* data, size_t bytes, ScatterStore& places);
} // namespace avx512

static const int width = __builtin_cpu_supports("avx512f") ? 512 : __builtin_cpu_supports("avx2") ? 256 : 128;

uint64_t hashBytes(const void* data, size_t bytes) {
  return width == 512 ? avx512::hashBytes(data, bytes) : width == 256 ? avx2::hashBytes(data, bytes) : portable::hashBytes(data, bytes);
}
uint64_t hashPieces(const iovec* pieces, size_t count) {
  return width == 512 ? avx512::hashPieces(pieces, count) : width == 256 ? avx2::hashPieces(pieces, count) : portable::hashPieces(pieces, count);
}
uint64_t hashAndStore(const uint8_t* data, size_t bytes, ScatterStore& places) {
  return width == 512 ? avx512::hashAndStore(data, bytes, places) : width == 256 ? avx2::hashAndStore(data, bytes, places) : portable::hashAndStore(data, bytes, places);
}
#else
uint64_t hashBytes(const void* data, size_t bytes) { return portable::hashBytes(data, bytes); }
uint64_t hashPieces(const iovec* pieces, size_t count) { return portable::hashPieces(pieces, count); }
uint64_t hashAndStore(const uint8_t* data, size_t bytes, ScatterStore& places) { return portable::hashAndStore(data, bytes, places); }
#endif

} // namespace dynamo_labs::transfer
