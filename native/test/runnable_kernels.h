#pragma once
#include <cstdio>
#include <vector>

#include "model/kernels.h"
#include "model/model_error.h"

namespace dynamo_labs::model {

/** The kernels of each instruction set that this machine has; says which ones it has not. */
inline std::vector<const Kernels*> runnable() {
  std::vector<const Kernels*> all;
  for (const char* name : {"portable", "avx2", "avx512"}) {
    try {
      all.push_back(&selectKernels(name));
    } catch (const ModelError&) {
      std::printf("this machine cannot run the %s kernels: not compared\n", name);
    }
  }
  return all;
}

} // namespace dynamo_labs::model
