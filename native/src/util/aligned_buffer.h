#pragma once
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace dynamo_labs {

/** Floats at a 64-byte boundary that grow and never shrink; growing loses the content. */
class AlignedBuffer {
public:
  float* reserve(size_t floats) {
    if (floats > capacity_) {
      data_.reset(static_cast<float*>(std::aligned_alloc(64, (floats * sizeof(float) + 63) / 64 * 64)));
      if (!data_) throw std::bad_alloc();
      capacity_ = floats;
    }
    return data_.get();
  }
  float* data() const { return data_.get(); }

private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float, Free> data_;
  size_t capacity_ = 0;
};

} // namespace dynamo_labs
