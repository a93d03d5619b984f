#include "shared_pages.h"

#include <sys/mman.h>

#include <mutex>
#include <unordered_map>

#include "huge_pages.h"

namespace dynamo_labs {

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kHugePage = 2 << 20;

struct Registry {
  std::mutex mutex;
  std::unordered_map<const void*, std::weak_ptr<void>> owners;
};

/** Never destroyed: pages may outlive static destruction on a native thread. */
Registry& registry() {
  static auto* const all = new Registry;
  return *all;
}

} // namespace

std::shared_ptr<SharedPages> SharedPages::allocate(size_t bytes) {
  const size_t mapped = (bytes + kPage - 1) / kPage * kPage;
  void* data = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return nullptr;
  if (mapped >= kHugePage) preferHugePages(data, mapped);
  std::shared_ptr<SharedPages> pages(new SharedPages(data, mapped));
  announce(data, pages);
  return pages;
}

void SharedPages::announce(const void* data, const std::shared_ptr<void>& owner) {
  const std::lock_guard<std::mutex> lock(registry().mutex);
  std::erase_if(registry().owners, [](const auto& entry) { return entry.second.expired(); });
  registry().owners[data] = owner;
}

std::shared_ptr<void> SharedPages::owner(const void* data) {
  const std::lock_guard<std::mutex> lock(registry().mutex);
  const auto found = registry().owners.find(data);
  return found == registry().owners.end() ? nullptr : found->second.lock();
}

SharedPages::~SharedPages() { munmap(data_, mapped_); }

} // namespace dynamo_labs
