#include "slab.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace dynamo_labs::transfer {

namespace {

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
constexpr uint64_t kHugePage = 2 << 20;
constexpr int kRefusals = 4; // so many in a row, and the rest is not tried: each may cost a compaction

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

/** Slabs that can hold a huge page begin where one can begin. The room left over before and behind is given back. */
void* mapAligned(int fd, uint64_t bytes, int protection) {
  void* at = nullptr;
  if (bytes >= kHugePage) {
    void* room = mmap(nullptr, bytes + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) fail("mmap");
    const auto begin = reinterpret_cast<uintptr_t>(room), aligned = (begin + kHugePage - 1) & ~uintptr_t(kHugePage - 1);
    const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    const uintptr_t end = (aligned + bytes + page - 1) / page * page;
    if (aligned > begin) munmap(room, aligned - begin);
    if (begin + bytes + kHugePage > end) munmap(reinterpret_cast<void*>(end), begin + bytes + kHugePage - end);
    at = reinterpret_cast<void*>(aligned);
  }
  void* mapped = mmap(at, bytes, protection, MAP_SHARED | MAP_NORESERVE | (at ? MAP_FIXED : 0), fd, 0);
  if (mapped == MAP_FAILED) {
    const int err = errno;
    if (at) munmap(at, bytes);
    errno = err;
    fail("mmap");
  }
  return mapped;
}

} // namespace

UniqueFd makeSlab(const char* name, uint64_t bytes, void** mapped) {
  UniqueFd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) fail("memfd_create");
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) fail("ftruncate");
  *mapped = mapAligned(fd.get(), bytes, PROT_READ | PROT_WRITE);
  // After our own mapping: a reader can neither write nor shrink it under us. FUTURE_WRITE is newer than the others (Linux 5.1).
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) fail("F_ADD_SEALS");
  fcntl(fd.get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
  return fd;
}

const void* mapSlab(int fd, uint64_t bytes) { return mapAligned(fd, bytes, PROT_READ); }

uint64_t sealedSize(int fd) {
  struct stat status;
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstat(fd, &status) != 0) throw std::runtime_error("the peer's memory is not sealed against shrinking");
  return static_cast<uint64_t>(status.st_size);
}

void populateSlab(void* mapped, uint64_t bytes) {
  auto* at = static_cast<uint8_t*>(mapped);
  madvise(mapped, bytes, MADV_HUGEPAGE); // Linux before 6.1 has no MADV_COLLAPSE; there the administrator decides by shmem_enabled
  for (int refused = 0; bytes >= kHugePage && refused < kRefusals; at += kHugePage, bytes -= kHugePage) {
    *const_cast<volatile uint8_t*>(at) = 0; // what has no page at all is not collapsed
    bool collapsed = false;
    for (int attempt = 0; attempt < 3 && !collapsed; attempt++) { // EAGAIN: somebody holds one of its pages for a moment
      collapsed = madvise(at, kHugePage, MADV_COLLAPSE) == 0;
      if (!collapsed && errno != EAGAIN) break;
    }
    if (collapsed) refused = 0;
    else refused++, madvise(at, kHugePage, MADV_POPULATE_WRITE);
  }
  madvise(at, bytes, MADV_POPULATE_WRITE);
}

} // namespace dynamo_labs::transfer
