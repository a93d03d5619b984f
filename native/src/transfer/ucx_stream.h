#pragma once
#include "ucx_worker.h"

namespace dynamo_labs::transfer {

/** A UCX endpoint as a stream of bytes. Sends from slabs of its own, so that memory is never read or written by UCX after a call has returned. */
class UcxStream : public ByteStream {
public:
  UcxStream(UcxWorker& worker, UcxEndpoint& endpoint) : worker_(worker), endpoint_(endpoint) {}
  ~UcxStream() override { worker_.retire(endpoint_); }
  void watch(uint32_t events, Pollable* target) override;
  ssize_t receive(iovec* pieces, size_t count, std::vector<UniqueFd>& fds) override;
  ssize_t send(const iovec* pieces, size_t count, const std::vector<int>& fds) override;
  int connectError() override { return endpoint_.error; }
  /** UCX closes both ways or not at all. */
  bool endWrites() override { return false; }
  /** Every close is one. */
  void resetWhenClosed() override {}
  /** Whether `send` would take something now. */
  static bool hasRoom(const UcxEndpoint& endpoint);

private:
  UcxWorker& worker_;
  UcxEndpoint& endpoint_;
};

} // namespace dynamo_labs::transfer
