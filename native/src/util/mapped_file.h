#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace dynamo_labs {

/** A file mapped read-only for the object's lifetime. Throws std::system_error naming the path. */
class MappedFile {
public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  MappedFile(MappedFile&& other) noexcept : data_(other.data_), size_(other.size_) { other.data_ = nullptr; }

  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

private:
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

} // namespace dynamo_labs
