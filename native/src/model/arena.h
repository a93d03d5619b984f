#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "weights_file.h"

namespace dynamo_labs::model {

/**
 * Bump allocator over one mapping, in two passes: a measuring arena only adds up, `commit` then maps what was asked for. The mapping is a file that all
 * processes of this host share, where one is named, else private memory.
 */
class Arena {
public:
  Arena() = default;
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /** 64-byte aligned. nullptr while measuring; zeroed while filling; after that, or where another process filled it, what the same call was filled with. */
  void* allocate(size_t bytes);
  /** Whether what `allocate` returns is to be written. */
  bool filling() const { return filling_; }
  /** Ends the measuring pass. Throws ModelError(OUT_OF_MEMORY). */
  void commit();
  /** The same, in the named file where possible, else as above with the reason in `problem()`. */
  void commit(const WeightsFileName& file, const std::atomic<bool>& cancelled);
  /** Ends the filling pass: the content is final and others may see it. */
  void seal();

  size_t bytes() const { return used_; }
  bool shared() const { return file_ != nullptr && problem_.empty(); }
  /** Why the memory is not shared though a file was named; else empty. */
  const std::string& problem() const { return problem_; }

private:
  size_t used_ = 0, capacity_ = 0;
  uint8_t* base_ = nullptr;
  bool filling_ = false;
  std::unique_ptr<WeightsFile> file_; ///< null: the mapping is private
  std::string problem_;
};

} // namespace dynamo_labs::model
