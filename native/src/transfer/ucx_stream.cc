#include "ucx_stream.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace dynamo_labs::transfer {

namespace {

constexpr size_t kSlabBytes = 256 << 10, kSlabs = 4;

void onSent(void* request, ucx::Status, void* slab) {
  static_cast<UcxEndpoint::Slab*>(slab)->flying = false; // that it failed is told by the endpoint
  UcxLibrary::get().functions->request_free(request);
}

} // namespace

void UcxStream::watch(uint32_t events, Pollable* target) {
  endpoint_.watched = events;
  endpoint_.target = target;
}

bool UcxStream::hasRoom(const UcxEndpoint& endpoint) {
  return endpoint.slabs.size() < kSlabs || std::any_of(endpoint.slabs.begin(), endpoint.slabs.end(), [](const auto& slab) { return !slab->flying; });
}

ssize_t UcxStream::receive(iovec* pieces, size_t count, std::vector<UniqueFd>&) {
  size_t total = 0;
  for (size_t i = 0; i < count; i++) {
    for (size_t filled = 0; filled < pieces[i].iov_len;) {
      if (endpoint_.at == endpoint_.length) worker_.fetch(endpoint_);
      const size_t take = std::min(pieces[i].iov_len - filled, endpoint_.length - endpoint_.at);
      if (take == 0) {
        if (total > 0) return static_cast<ssize_t>(total);
        errno = endpoint_.error ? endpoint_.error : EAGAIN;
        return -1;
      }
      std::memcpy(static_cast<uint8_t*>(pieces[i].iov_base) + filled, endpoint_.data + endpoint_.at, take);
      endpoint_.at += take;
      filled += take;
      total += take;
    }
  }
  return static_cast<ssize_t>(total);
}

ssize_t UcxStream::send(const iovec* pieces, size_t count, const std::vector<int>& fds) {
  errno = !fds.empty() ? EINVAL : endpoint_.error;
  if (errno) return -1;
  auto& slabs = endpoint_.slabs;
  auto found = std::find_if(slabs.begin(), slabs.end(), [](const auto& slab) { return !slab->flying; });
  if (found == slabs.end()) {
    if (slabs.size() == kSlabs) return errno = EAGAIN, -1;
    slabs.push_back(std::make_unique<UcxEndpoint::Slab>());
    slabs.back()->bytes.resize(kSlabBytes);
    found = slabs.end() - 1;
  }
  UcxEndpoint::Slab& slab = **found;
  size_t bytes = 0;
  for (size_t i = 0; i < count && bytes < kSlabBytes; i++) {
    const size_t take = std::min(pieces[i].iov_len, kSlabBytes - bytes);
    std::memcpy(slab.bytes.data() + bytes, pieces[i].iov_base, take);
    bytes += take;
  }
  ucx::RequestParam param;
  param.op_attr_mask = ucx::kOpFieldCallback | ucx::kOpFieldUserData;
  param.on_sent = onSent;
  param.user_data = &slab;
  slab.flying = true;
  const ucx::StatusPtr status = worker_.f_.stream_send_nbx(endpoint_.handle, slab.bytes.data(), bytes, &param);
  if (!status || ucx::isError(status)) slab.flying = false;
  if (ucx::isError(status)) return errno = endpoint_.error ? endpoint_.error : EPIPE, -1;
  return static_cast<ssize_t>(bytes);
}

} // namespace dynamo_labs::transfer
