#pragma once
#include <cstddef>
#include <memory>

namespace dynamo_labs {

/**
 * Zeroed pages outside V8's heap. JavaScript sees them as an ArrayBuffer, native threads read and write them, and the last
 * of them unmaps: an environment that ends frees its buffers before it stops native threads.
 */
class SharedPages {
public:
  /** `bytes` rounded up to whole pages; null when they cannot be mapped. */
  static std::shared_ptr<SharedPages> allocate(size_t bytes);
  /** The pages that begin at `data`, while they are mapped; null for memory that was not allocated here. */
  static std::shared_ptr<SharedPages> find(const void* data);

  ~SharedPages();
  SharedPages(const SharedPages&) = delete;
  SharedPages& operator=(const SharedPages&) = delete;

  void* data() const { return data_; }

private:
  SharedPages(void* data, size_t mapped) : data_(data), mapped_(mapped) {}

  void* const data_;
  const size_t mapped_;
};

} // namespace dynamo_labs
