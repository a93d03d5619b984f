#include "pool.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <new>
#include <stdexcept>
#include <system_error>

namespace dynamo_labs::transfer {

namespace {

constexpr uint64_t kPoolMagic = 0x314c4f4f504c44; // "DLPOOL1"
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

UniqueFd makeSlab(const char* name, uint64_t bytes, void** mapped) {
  UniqueFd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) fail("memfd_create");
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) fail("ftruncate");
  *mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd.get(), 0);
  if (*mapped == MAP_FAILED) fail("mmap");
  // After our own mapping: a reader can neither write nor shrink it under us. FUTURE_WRITE is newer than the others (Linux 5.1).
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) fail("F_ADD_SEALS");
  fcntl(fd.get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
  return fd;
}

uint64_t sealedSize(int fd) {
  struct stat status;
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstat(fd, &status) != 0) throw std::runtime_error("the peer's memory is not sealed against shrinking");
  return static_cast<uint64_t>(status.st_size);
}

} // namespace

void Pool::makeControl(uint32_t id, uint64_t epoch, uint64_t bytes, uint64_t block_bytes) {
  if (bytes == 0 || block_bytes == 0 || bytes % block_bytes != 0 || bytes > uint64_t(1) << 44) throw std::invalid_argument("a pool is a whole number of blocks");
  id_ = id;
  control_size_ = PoolControl::size(bytes / block_bytes);
  void* control = nullptr;
  control_fd_ = makeSlab("dynamo-labs-pool-control", control_size_, &control);
  control_ = new (control) PoolControl{};
  control_->magic = kPoolMagic;
  control_->epoch = epoch;
  control_->bytes = bytes;
  control_->block_bytes = block_bytes;
  control_->blocks = bytes / block_bytes;
  control_->clock.store(1);
}

std::shared_ptr<Pool> Pool::create(uint32_t id, uint64_t epoch, uint64_t bytes, uint64_t block_bytes, bool prefault) {
  std::shared_ptr<Pool> pool(new Pool());
  pool->makeControl(id, epoch, bytes, block_bytes);
  void* data = nullptr;
  pool->data_fd_ = makeSlab("dynamo-labs-pool", bytes, &data);
  pool->data_ = static_cast<uint8_t*>(data);
  pool->data_size_ = bytes;
  if (prefault) madvise(data, bytes, MADV_POPULATE_WRITE);
  return pool;
}

std::shared_ptr<Pool> Pool::over(uint32_t id, uint64_t epoch, uint8_t* data, uint64_t bytes, uint64_t block_bytes, std::shared_ptr<const void> keep) {
  std::shared_ptr<Pool> pool(new Pool());
  pool->makeControl(id, epoch, bytes, block_bytes);
  pool->data_ = data;
  pool->keep_ = std::move(keep);
  return pool;
}

Pool::~Pool() {
  if (data_size_ > 0) munmap(data_, data_size_);
  if (control_) munmap(control_, control_size_);
}

void Pool::withdraw(uint64_t first_block, uint64_t count) {
  const uint64_t now = control_->clock.fetch_add(1) + 1;
  for (uint64_t block = first_block; block < first_block + count && block < blocks(); block++) control_->withdrawn()[block].store(now);
  std::atomic_thread_fence(std::memory_order_seq_cst); // before the caller's writes
}

void Pool::setSlot(uint32_t slot, uint64_t grant) {
  control_->slots[slot].store(grant);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

std::shared_ptr<MappedPool> MappedPool::map(UniqueFd data, UniqueFd control) {
  const uint64_t control_size = sealedSize(control.get()), data_size = sealedSize(data.get());
  if (control_size < sizeof(PoolControl)) throw std::runtime_error("the peer's control pages are too short");
  std::shared_ptr<MappedPool> pool(new MappedPool());
  void* mapped = mmap(nullptr, control_size, PROT_READ, MAP_SHARED, control.get(), 0);
  if (mapped == MAP_FAILED) fail("mmap");
  pool->control_ = static_cast<const PoolControl*>(mapped);
  pool->control_size_ = control_size;
  const PoolControl& head = *pool->control_;
  if (head.magic != kPoolMagic || head.block_bytes == 0 || head.bytes != data_size || head.blocks != head.bytes / head.block_bytes ||
      head.blocks > control_size / sizeof(uint64_t) || PoolControl::size(head.blocks) > control_size)
    throw std::runtime_error("the peer's control pages contradict themselves");
  void* bytes = mmap(nullptr, data_size, PROT_READ, MAP_SHARED | MAP_NORESERVE, data.get(), 0);
  if (bytes == MAP_FAILED) fail("mmap");
  pool->data_ = static_cast<const uint8_t*>(bytes);
  pool->bytes_ = data_size;
  pool->block_bytes_ = head.block_bytes;
  return pool;
}

MappedPool::~MappedPool() {
  if (data_) munmap(const_cast<uint8_t*>(data_), bytes_);
  if (control_) munmap(const_cast<PoolControl*>(control_), control_size_);
}

} // namespace dynamo_labs::transfer
