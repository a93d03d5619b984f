#define CHUNK_HASH_NAMESPACE avx512
#include "chunk_hash_body.h"
