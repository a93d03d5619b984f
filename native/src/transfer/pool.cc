#include "pool.h"

#include <sys/mman.h>

#include <new>
#include <stdexcept>

#include "slab.h"

namespace dynamo_labs::transfer {

namespace {

constexpr uint64_t kPoolMagic = 0x314c4f4f504c44; // "DLPOOL1"

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
  if (prefault) populateSlab(data, bytes);
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
  pool->control_ = static_cast<const PoolControl*>(mapSlab(control.get(), control_size));
  pool->control_size_ = control_size;
  const PoolControl& head = *pool->control_;
  if (head.magic != kPoolMagic || head.block_bytes == 0 || head.bytes != data_size || head.blocks != head.bytes / head.block_bytes ||
      head.blocks > control_size / sizeof(uint64_t) || PoolControl::size(head.blocks) > control_size)
    throw std::runtime_error("the peer's control pages contradict themselves");
  pool->data_ = static_cast<const uint8_t*>(mapSlab(data.get(), data_size));
  pool->bytes_ = data_size;
  pool->block_bytes_ = head.block_bytes;
  return pool;
}

MappedPool::~MappedPool() {
  if (data_) munmap(const_cast<uint8_t*>(data_), bytes_);
  if (control_) munmap(const_cast<PoolControl*>(control_), control_size_);
}

} // namespace dynamo_labs::transfer
