#include "weights_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

namespace dynamo_labs::model {

namespace {

constexpr size_t kHeaderBytes = 4096;
/** Counts up whenever packed_matrix.h or the order in which weights.cc allocates changes. */
constexpr uint32_t kPackingVersion = 1;
constexpr auto kLongestWait = std::chrono::minutes(1);
constexpr auto kPoll = std::chrono::milliseconds(20);

/** Four independent chains over 64-bit words, so that it runs at the speed of memory. Finds damage, not forgery. */
uint64_t checksum(const uint8_t* data, size_t bytes) {
  constexpr uint64_t kPrime = 0x9e3779b185ebca87;
  uint64_t chains[4] = {1, 2, 3, 4};
  size_t at = 0;
  for (; at + 32 <= bytes; at += 32)
    for (int i = 0; i < 4; i++) {
      uint64_t word;
      std::memcpy(&word, data + at + 8 * i, 8);
      chains[i] = (chains[i] ^ word) * kPrime;
      chains[i] ^= chains[i] >> 32;
    }
  uint64_t sum = bytes;
  for (uint64_t chain : chains) sum = (sum ^ chain) * kPrime;
  for (; at < bytes; at++) sum = (sum ^ data[at]) * kPrime;
  return sum ^ sum >> 29;
}

} // namespace

struct WeightsFile::Header {
  char magic[8] = {'D', 'L', 'W', 'E', 'I', 'G', 'H', 'T'};
  uint32_t byte_order = 0x01020304, version = kPackingVersion;
  uint64_t bytes = 0, checksum = 0;
  char key[64] = {};

  Header(const std::string& of, const uint8_t* data, size_t count) : bytes(count), checksum(model::checksum(data, count)) { of.copy(key, sizeof key); }
};

WeightsFile::~WeightsFile() {
  if (mapping_) munmap(mapping_, kHeaderBytes + bytes_);
  if (descriptor_ >= 0) { // never published
    unlink((name_.path + ".new").c_str());
    close(descriptor_);
  }
}

uint8_t* WeightsFile::data() const { return mapping_ + kHeaderBytes; }

bool WeightsFile::open(const std::atomic<bool>& cancelled) {
  for (const auto start = std::chrono::steady_clock::now();;) {
    if (attach()) return true;
    if (lock()) return create();
    if (!problem_.empty()) return false;
    if (cancelled || std::chrono::steady_clock::now() - start > kLongestWait) return fail("wait for the process that writes", ETIMEDOUT);
    std::this_thread::sleep_for(kPoll);
  }
}

bool WeightsFile::attach() {
  const int descriptor = ::open(name_.path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  struct stat status;
  const bool whole = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && static_cast<size_t>(status.st_size) == kHeaderBytes + bytes_;
  const bool mapped = whole && map(descriptor, PROT_READ);
  close(descriptor);
  if (!mapped) return false;
  const Header expected(name_.key, data(), bytes_);
  if (std::memcmp(mapping_, &expected, sizeof expected) == 0) return true;
  munmap(mapping_, kHeaderBytes + bytes_);
  mapping_ = nullptr;
  return false;
}

/** False without a problem while another process holds it. */
bool WeightsFile::lock() {
  const std::string path = name_.path + ".new";
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (descriptor < 0) return fail("create", errno);
  const bool locked = flock(descriptor, LOCK_EX | LOCK_NB) == 0;
  const int error = errno;
  // Its holder may have published it, by a rename, between our open and the lock.
  struct stat ours, named;
  if (locked && fstat(descriptor, &ours) == 0 && stat(path.c_str(), &named) == 0 && ours.st_ino == named.st_ino && ours.st_dev == named.st_dev) {
    descriptor_ = descriptor;
    return true;
  }
  close(descriptor);
  return locked || error == EWOULDBLOCK || error == EINTR ? false : fail("lock", error);
}

bool WeightsFile::create() {
  // Another process may have published between our look and the lock.
  const int descriptor = descriptor_;
  if (attach()) {
    unlink((name_.path + ".new").c_str());
    close(descriptor);
    descriptor_ = -1;
    return true;
  }
  // Real blocks, not a hole: a full disk must show here, not as a signal at the first write.
  const int error = ftruncate(descriptor_, 0) != 0 ? errno : posix_fallocate(descriptor_, 0, static_cast<off_t>(kHeaderBytes + bytes_));
  if (error != 0) return fail("reserve", error);
  return map(descriptor_, PROT_READ | PROT_WRITE) || fail("map", errno);
}

bool WeightsFile::map(int descriptor, int protection) {
  void* mapping = mmap(nullptr, kHeaderBytes + bytes_, protection, MAP_SHARED, descriptor, 0);
  if (mapping == MAP_FAILED) return false;
  mapping_ = static_cast<uint8_t*>(mapping);
  return true;
}

bool WeightsFile::publish() {
  const Header header(name_.key, data(), bytes_);
  std::memcpy(mapping_, &header, sizeof header);
  mprotect(mapping_, kHeaderBytes + bytes_, PROT_READ);
  if (rename((name_.path + ".new").c_str(), name_.path.c_str()) != 0) return fail("publish", errno);
  close(descriptor_);
  descriptor_ = -1;
  return true;
}

bool WeightsFile::fail(const char* what, int error) {
  problem_ = std::string("cannot ") + what + " " + name_.path + ": " + std::strerror(error);
  return false;
}

} // namespace dynamo_labs::model
