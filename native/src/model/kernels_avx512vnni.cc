#include <immintrin.h>

#include "../util/half.h"
#include "kernels.h"

#define DYNAMO_LABS_KERNELS "avx512"

// The namespace keeps this instruction set's functions from being merged with another's by the linker.
namespace dynamo_labs::model::avx512 {
#include "simd_avx512.h"

#include "dot_avx512.h"

#include "kernel_table.h"
} // namespace dynamo_labs::model::avx512
