#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace dynamo_labs::model {

/** Where the packed weights of a model are kept for all processes of this host, and what they were made from. */
struct WeightsFileName {
  std::string path; ///< empty: not shared
  std::string key;  ///< at most 64 characters; another key, another content
};

/**
 * A file of packed weights that every process maps: one copy in memory. Written once under a lock, published by a rename, so that a reader finds a whole
 * file or none; a file that is cut, damaged, of another key or of another packing is written anew. Who has the old one mapped keeps it.
 *
 * The file: a page with the header, then the arena's bytes. The writer's lock is flock on `<path>.new`, which ends with the process that holds it.
 */
class WeightsFile {
public:
  WeightsFile(WeightsFileName name, size_t bytes) : name_(std::move(name)), bytes_(bytes) {}
  ~WeightsFile();
  WeightsFile(const WeightsFile&) = delete;
  WeightsFile& operator=(const WeightsFile&) = delete;

  /**
   * Maps the published file, or a new one to be filled and published. Waits for another process that is writing it, at most a minute or until `cancelled`.
   * False, with `problem()`, where neither is possible.
   */
  bool open(const std::atomic<bool>& cancelled);
  /** Whether `data` is to be filled by the caller. */
  bool writing() const { return descriptor_ >= 0; }
  uint8_t* data() const;
  /** Seals what was filled in; false, with `problem()`, where others will not find it. The memory stays valid either way. */
  bool publish();
  const std::string& problem() const { return problem_; }

private:
  struct Header;
  bool attach();
  bool lock();
  bool create();
  bool map(int descriptor, int protection);
  bool fail(const char* what, int error);

  const WeightsFileName name_;
  const size_t bytes_;
  std::string problem_;
  uint8_t* mapping_ = nullptr;
  int descriptor_ = -1; ///< of the new file, locked
};

} // namespace dynamo_labs::model
