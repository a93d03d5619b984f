#include <cstdint>

#include "../util/half.h"
#include "kernels.h"

#define DYNAMO_LABS_KERNELS "portable"

// The namespace keeps this instruction set's functions from being merged with another's by the linker.
namespace dynamo_labs::model::portable {
#include "simd_portable.h"

#include "dot_portable.h"

#include "kernel_table.h"
} // namespace dynamo_labs::model::portable
