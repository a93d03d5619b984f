#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace dynamo_labs::transfer {

/** Where one chunk arrives, at the boundary of a cache line. Grows and never shrinks; growing loses the content. */
class StagingBuffer {
public:
  uint8_t* reserve(size_t bytes) {
    if (bytes > capacity_) {
      data_.reset(static_cast<uint8_t*>(std::aligned_alloc(kLine, (bytes + kLine - 1) / kLine * kLine)));
      if (!data_) throw std::bad_alloc();
      capacity_ = bytes;
    }
    return data_.get();
  }
  uint8_t* data() const { return data_.get(); }

private:
  static constexpr size_t kLine = 64;
  struct Free {
    void operator()(uint8_t* p) const { std::free(p); }
  };
  std::unique_ptr<uint8_t, Free> data_;
  size_t capacity_ = 0;
};

} // namespace dynamo_labs::transfer
