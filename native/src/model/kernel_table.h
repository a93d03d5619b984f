// Included inside the namespace of one instruction set, after its vectors.
#include "kernel_rows.h"

#include "kernel_matmul.h"

#include "kernel_quantise.h"

#include "kernel_matmul_int8.h"

#include "kernel_attention.h"

extern const Kernels kKernels;
const Kernels kKernels = {DYNAMO_LABS_KERNELS, matmul, quantiseRow, matmulInteger, attention, storeKv, rmsNorm, addInPlace, rotate, swiGlu, maximum, sumExp};
