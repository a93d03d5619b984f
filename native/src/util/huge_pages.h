#pragma once
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

namespace dynamo_labs {

/**
 * Asks for pages of 2 MiB where the system has them: KV blocks lie far apart, and with small pages looking up their addresses costs a quarter of the time of
 * attention. A wish; whatever the answer, the memory works.
 */
inline void preferHugePages(void* data, size_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr uintptr_t kPage = 4096;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kPage - 1) & ~(kPage - 1), end = (reinterpret_cast<uintptr_t>(data) + bytes) & ~(kPage - 1);
  if (begin < end) (void)madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)data, (void)bytes;
#endif
}

} // namespace dynamo_labs
