#pragma once
#include <cstddef>
#include <cstdint>

namespace dynamo_labs::model {

/** Bump allocator over one anonymous mapping, in two passes: a measuring arena only adds up, `commit` then maps what was asked for. */
class Arena {
public:
  Arena() = default;
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  bool measuring() const { return base_ == nullptr; }
  /** 64-byte aligned, zeroed. nullptr while measuring. */
  void* allocate(size_t bytes);
  /** Ends the measuring pass. Throws ModelError(OUT_OF_MEMORY). */
  void commit();
  size_t bytes() const { return used_; }

private:
  uint8_t* base_ = nullptr;
  size_t used_ = 0, capacity_ = 0;
};

} // namespace dynamo_labs::model
