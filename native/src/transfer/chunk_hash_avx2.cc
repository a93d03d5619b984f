#define CHUNK_HASH_NAMESPACE avx2
#include "chunk_hash_body.h"
