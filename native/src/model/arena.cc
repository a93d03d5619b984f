#include "arena.h"

#include <sys/mman.h>

#include "model_error.h"

namespace dynamo_labs::model {

Arena::~Arena() {
  if (base_ && !file_) munmap(base_, capacity_);
}

void* Arena::allocate(size_t bytes) {
  const size_t at = used_;
  used_ += (bytes + 63) / 64 * 64;
  if (!base_) return nullptr;
  if (used_ > capacity_) throw ModelError("INTERNAL", "weights", "the packing pass asked for more memory than the measuring pass");
  return base_ + at;
}

void Arena::commit() {
  capacity_ = used_ + 64;
  used_ = 0;
  filling_ = true;
  void* base = mmap(nullptr, capacity_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) throw ModelError("OUT_OF_MEMORY", "weights", "cannot map " + std::to_string(capacity_) + " bytes");
  base_ = static_cast<uint8_t*>(base);
}

void Arena::commit(const WeightsFileName& name, const std::atomic<bool>& cancelled) {
  if (name.path.empty()) return commit();
  auto file = std::make_unique<WeightsFile>(name, used_);
  if (!file->open(cancelled)) {
    problem_ = file->problem();
    return commit();
  }
  file_ = std::move(file);
  capacity_ = used_;
  used_ = 0;
  base_ = file_->data();
  filling_ = file_->writing();
}

void Arena::seal() {
  if (filling_ && file_ && !file_->publish()) problem_ = file_->problem();
  filling_ = false;
}

} // namespace dynamo_labs::model
