#include "shm_copy.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <thread>

#include "monotonic.h"
#include "scatter_store.h"
#include "verified_copy.h"

namespace dynamo_labs::transfer {

namespace {

constexpr uint64_t kTile = 16 << 10; // between two faults

/** What the fault decorator does to a copy; Ok unless the owner is to count as lost. */
Code disturb(FaultPlan& faults, uint64_t bytes, uint8_t* written, const std::atomic<bool>* stop) {
  const auto pause = [&](int64_t ns) {
    for (const int64_t end = nowNs() + ns; nowNs() < end && !(stop && stop->load());) std::this_thread::sleep_for(std::chrono::microseconds(500));
  };
  for (uint64_t left = bytes; left > 0;) {
    const FaultStep step = faults.pass(FaultSide::Read, left);
    left -= std::min(left, step.allowed);
    if (!step.fault) break;
    faults.report(*step.fault);
    const FaultKind kind = step.fault->kind;
    if (kind == FaultKind::Reset || kind == FaultKind::HalfClose || kind == FaultKind::Truncate) return Code::RemoteDisconnect;
    if (kind == FaultKind::Stall) pause(step.fault->ms * kMs);
    if (kind == FaultKind::Rate && step.fault->bytes_per_second > 0) pause(static_cast<int64_t>(bytes * 1e9 / static_cast<double>(step.fault->bytes_per_second)));
    if (kind == FaultKind::Expire) return Code::Expired;
    if (kind == FaultKind::Kill) kill(step.fault->pid > 0 ? static_cast<pid_t>(step.fault->pid) : getpid(), SIGKILL);
  }
  if (stop && stop->load()) return Code::Canceled; // the reason is in the transfer
  if (const auto delay = faults.take(FaultKind::Delay, FaultSide::Read)) pause(delay->ms * kMs);
  if (bytes > 0 && faults.take(FaultKind::Flip, FaultSide::Read)) written[faults.draw() % bytes] ^= static_cast<uint8_t>(1u << (faults.draw() % 8));
  return Code::Ok;
}

} // namespace

Code grantStands(const MappedPool& pool, const GrantRef& grant, const Piece* begin, const Piece* end) {
  const PoolControl& control = pool.control();
  if (grant.slot >= kGrantSlots || control.slots[grant.slot].load(std::memory_order_acquire) != grant.id) return Code::Expired;
  const uint64_t size = pool.blockBytes(), total = pool.bytes();
  for (const Piece* piece = begin; piece != end; piece++) {
    if (piece->remote > total || piece->length > total - piece->remote) return Code::InvalidParam;
    const uint64_t last = (piece->remote + piece->length - 1) / size;
    for (uint64_t block = piece->remote / size; block <= last; block++)
      if (control.withdrawn()[block].load(std::memory_order_acquire) > grant.clock) return Code::Expired;
  }
  return Code::Ok;
}

static Code copy(const ShmSource& source, const GrantRef& grant, Pool& local, const Piece* begin, const Piece* end, bool verify, FaultPlan* faults,
                 const std::atomic<bool>* stop) {
  bool intact = true;
  if (!faults && verify) intact = copyVerified(local.data(), source.pool->data(), begin, end);
  else if (!faults) {
    for (const Piece* piece = begin; piece != end; piece++) std::memcpy(local.data() + piece->local, source.pool->data() + piece->remote, piece->length);
  }
  for (const Piece* piece = begin; faults && piece != end; piece++) {
    for (uint64_t at = 0; at < piece->length; at += kTile) {
      const uint64_t bytes = std::min(kTile, piece->length - at);
      const uint8_t* from = source.pool->data() + piece->remote + at;
      uint8_t* to = local.data() + piece->local + at;
      std::memcpy(to, from, bytes); // leaves both tiles in the cache
      const Code disturbed = disturb(*faults, bytes, to, stop);
      if (disturbed != Code::Ok) return disturbed;
      if (!verify) continue;
      asm volatile("" ::: "memory"); // what is compared is what memory holds, not what the compiler knows of the copy
      if (std::memcmp(from, to, bytes) != 0) intact = false;
    }
  }
  std::atomic_thread_fence(std::memory_order_acquire); // the reads above happen before the second look
  const Code after = grantStands(*source.pool, grant, begin, end);
  if (after != Code::Ok) return after;
  return intact ? Code::Ok : Code::Checksum;
}

Code copyChunk(const ShmSource& source, const GrantRef& grant, Pool& local, const Piece* begin, const Piece* end, bool verify, FaultPlan* faults,
               const std::atomic<bool>* stop) {
  if (!source.owner_lives->load(std::memory_order_acquire)) return Code::RemoteDisconnect;
  const Code before = grantStands(*source.pool, grant, begin, end);
  if (before != Code::Ok) return before;
  const Code code = copy(source, grant, local, begin, end, verify, faults, stop);
  if (code != Code::Ok) wipe(local.data(), begin, end);
  return code;
}

} // namespace dynamo_labs::transfer
