#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "unique_fd.h"

namespace dynamo_labs::transfer {

constexpr uint32_t kGrantSlots = 4096;

/** The shared page(s) beside a pool through which its owner withdraws memory from readers of other processes. */
struct PoolControl {
  uint64_t magic, epoch, bytes, block_bytes, blocks;
  /** Counts withdrawals. */
  std::atomic<uint64_t> clock;
  /** The id of the live grant in each slot, 0 where there is none. */
  std::atomic<uint64_t> slots[kGrantSlots];
  /** For each block the clock at its last withdrawal; `blocks` of them. */
  std::atomic<uint64_t>* withdrawn() { return reinterpret_cast<std::atomic<uint64_t>*>(this + 1); }
  const std::atomic<uint64_t>* withdrawn() const { return reinterpret_cast<const std::atomic<uint64_t>*>(this + 1); }
  static size_t size(uint64_t blocks) { return sizeof(PoolControl) + blocks * sizeof(std::atomic<uint64_t>); }
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

/**
 * Registered memory: one slab of shared memory (a sealed memfd: never grows or shrinks, nobody else can map it writable), or memory that was there
 * before; and its control pages.
 * Throws std::system_error, std::invalid_argument. Thread contract: any thread.
 */
class Pool {
public:
  static std::shared_ptr<Pool> create(uint32_t id, uint64_t epoch, uint64_t bytes, uint64_t block_bytes, bool prefault);
  /** Over memory that was there before. Nobody can map it: `shared()` is false. `keep` is let go with the pool, on any thread. */
  static std::shared_ptr<Pool> over(uint32_t id, uint64_t epoch, uint8_t* data, uint64_t bytes, uint64_t block_bytes, std::shared_ptr<const void> keep);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  uint32_t id() const { return id_; }
  uint8_t* data() const { return data_; }
  uint64_t bytes() const { return control_->bytes; }
  uint64_t blockBytes() const { return control_->block_bytes; }
  uint64_t blocks() const { return control_->blocks; }
  uint64_t clock() const { return control_->clock.load(std::memory_order_seq_cst); }
  bool shared() const { return data_fd_.valid(); }
  int dataFd() const { return data_fd_.get(); }
  int controlFd() const { return control_fd_.get(); }
  /** Before blocks are written again while a grant of them lives: every reader of them, now or later, gets EXPIRED. */
  void withdraw(uint64_t first_block, uint64_t count);
  /** 0 takes a grant away from readers at once. */
  void setSlot(uint32_t slot, uint64_t grant);
  const PoolControl& control() const { return *control_; }
  bool contains(uint64_t offset, uint64_t length) const { return offset <= bytes() && length <= bytes() - offset; }

private:
  Pool() = default;
  void makeControl(uint32_t id, uint64_t epoch, uint64_t bytes, uint64_t block_bytes);
  uint32_t id_ = 0;
  std::shared_ptr<const void> keep_;
  UniqueFd data_fd_, control_fd_;
  uint8_t* data_ = nullptr;
  PoolControl* control_ = nullptr;
  uint64_t data_size_ = 0;
  size_t control_size_ = 0;
};

/** Another process's pool, mapped read-only. Outlives its owner: whether the owner lives is known from its connection, not from here. */
class MappedPool {
public:
  /** Takes the descriptors only if they are sealed and as long as they say; otherwise throws std::runtime_error. */
  static std::shared_ptr<MappedPool> map(UniqueFd data, UniqueFd control);
  ~MappedPool();
  MappedPool(const MappedPool&) = delete;
  MappedPool& operator=(const MappedPool&) = delete;

  const uint8_t* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }
  const PoolControl& control() const { return *control_; }
  uint64_t blockBytes() const { return block_bytes_; }

private:
  MappedPool() = default;
  const uint8_t* data_ = nullptr;
  const PoolControl* control_ = nullptr;
  uint64_t bytes_ = 0, block_bytes_ = 1;
  size_t control_size_ = 0;
};

} // namespace dynamo_labs::transfer
