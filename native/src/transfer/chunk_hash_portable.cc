#define CHUNK_HASH_NAMESPACE portable
#include "chunk_hash_body.h"
