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
  /** `bytes` rounded up to whole pages, huge ones where they fit; null when they cannot be mapped. */
  static std::shared_ptr<SharedPages> allocate(size_t bytes);
  /** Makes memory that somebody else maps, a pool of the transfer engine, known to `owner`: whoever holds `owner` keeps it mapped. */
  static void announce(const void* data, const std::shared_ptr<void>& owner);
  /** What keeps the memory that begins at `data` mapped; null for memory that was neither allocated nor announced here. */
  static std::shared_ptr<void> owner(const void* data);

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
