#include "kernels.h"

#include <string>

#include "model_error.h"

namespace dynamo_labs::model {

namespace portable {
extern const Kernels kKernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Kernels kKernels;
}
namespace avx512 {
extern const Kernels kKernels;
}
#endif

namespace {

const Kernels* available(const std::string& name) {
  if (name == "portable") return &portable::kKernels;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  if (name == "avx2") return avx2 ? &avx2::kKernels : nullptr;
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni");
  if (name == "avx512") return avx512 ? &avx512::kKernels : nullptr;
#endif
  return nullptr;
}

} // namespace

const Kernels& selectKernels(const char* name) {
  if (std::string(name) == "auto") {
    for (const char* candidate : {"avx512", "avx2"})
      if (const Kernels* kernels = available(candidate)) return *kernels;
    return portable::kKernels;
  }
  if (const Kernels* kernels = available(name)) return *kernels;
  throw ModelError("UNSUPPORTED_KERNELS", "kernels", std::string("\"") + name + "\" is not one this CPU and build can run (auto, avx512, avx2, portable)");
}

} // namespace dynamo_labs::model
