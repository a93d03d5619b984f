#pragma once
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace dynamo_labs::transfer {

static_assert(std::endian::native == std::endian::little, "the wire is little-endian and is written in place");

/** Appends little-endian fields. */
class ByteWriter {
public:
  template <class T> ByteWriter& put(T value) {
    const size_t at = bytes_.size();
    bytes_.resize(at + sizeof(T));
    std::memcpy(bytes_.data() + at, &value, sizeof(T));
    return *this;
  }
  ByteWriter& text(const std::string& value) {
    put(static_cast<uint16_t>(value.size()));
    bytes_.insert(bytes_.end(), value.begin(), value.end());
    return *this;
  }
  ByteWriter& raw(const void* data, size_t bytes) {
    const auto* from = static_cast<const uint8_t*>(data);
    bytes_.insert(bytes_.end(), from, from + bytes);
    return *this;
  }
  std::vector<uint8_t> take() { return std::move(bytes_); }

private:
  std::vector<uint8_t> bytes_;
};

/** Reads what ByteWriter wrote. After the first field that does not fit, everything reads as zero and `ok()` is false. */
class ByteReader {
public:
  ByteReader(const uint8_t* data, size_t bytes) : at_(data), left_(bytes) {}
  template <class T> T get() {
    T value{};
    if (take(sizeof(T))) std::memcpy(&value, at_ - sizeof(T), sizeof(T));
    return value;
  }
  /** A text longer than `max` is refused before anything is allocated. */
  std::string text(size_t max) {
    const size_t size = get<uint16_t>();
    if (size > max) ok_ = false;
    return take(size) ? std::string(reinterpret_cast<const char*>(at_) - size, size) : std::string();
  }
  template <size_t N> std::array<uint8_t, N> array() {
    std::array<uint8_t, N> value{};
    if (take(N)) std::memcpy(value.data(), at_ - N, N);
    return value;
  }
  std::vector<uint8_t> rest() {
    const size_t size = ok_ ? left_ : 0;
    return take(size) ? std::vector<uint8_t>(at_ - size, at_) : std::vector<uint8_t>();
  }
  size_t left() const { return left_; }
  bool ok() const { return ok_; }
  /** Everything was read and nothing is left over. */
  bool done() const { return ok_ && left_ == 0; }

private:
  bool take(size_t bytes) {
    if (!ok_ || bytes > left_) return ok_ = false;
    at_ += bytes;
    left_ -= bytes;
    return true;
  }
  const uint8_t* at_;
  size_t left_;
  bool ok_ = true;
};

} // namespace dynamo_labs::transfer
