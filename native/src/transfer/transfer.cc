#include "transfer.h"

#include <algorithm>

namespace dynamo_labs::transfer {

Transfer::Transfer(uint64_t id, ReadSpec asked, uint32_t chunk_bytes)
    : id(id), spec(std::move(asked)), plan(spec.pieces, chunk_bytes), deadline_ns(nowNs() + spec.deadline_ms * kMs), states(plan.chunks(), Missing) {
  timeline.add("queued");
}

bool Transfer::chunkDone(uint32_t chunk, uint64_t bytes) {
  states[chunk] = Done;
  if (!first_byte_.exchange(true)) timeline.add("first_byte");
  bytes_done_.fetch_add(bytes, std::memory_order_relaxed);
  return chunks_done_.fetch_add(1, std::memory_order_acq_rel) + 1 == plan.chunks();
}

bool Transfer::enter() {
  const std::lock_guard lock(mutex_);
  if (stopping_ || settled_) return false;
  inside_++;
  return true;
}

bool Transfer::enter(uint32_t generation) {
  const std::lock_guard lock(mutex_);
  if (stopping_ || settled_ || generation != generation_) return false;
  inside_++;
  return true;
}

Transfer::Left Transfer::leave() {
  const std::lock_guard lock(mutex_);
  if (--inside_ > 0) return Left::Continue;
  if (stopping_ || complete()) return Left::Settle;
  if (!lost_) return Left::Continue;
  generation_++; // what still waits for a worker is stale
  return Left::Reconnect;
}

uint32_t Transfer::restart() {
  const std::lock_guard lock(mutex_);
  lost_ = false;
  next_chunk = 0;
  return generation_;
}

void Transfer::finishRemotely() {
  std::fill(states.begin(), states.end(), Done);
  bytes_done_ = plan.bytes();
  chunks_done_ = plan.chunks();
}

bool Transfer::stop(Failure why) {
  const std::lock_guard lock(mutex_);
  if (settled_) return false;
  if (!stopping_.exchange(true)) failure_ = std::move(why);
  return inside_ == 0;
}

uint64_t Transfer::blocksDone() const {
  const uint64_t size = spec.block_bytes;
  if (size == 0) return 0;
  // Blocks are laid end to end in the order in which they were asked for; a block counts if no chunk that touches it is missing.
  uint64_t at = 0, counted_to = 0, lost = 0;
  for (uint32_t chunk = 0; chunk < plan.chunks(); chunk++) {
    const uint64_t end = at + plan.chunkBytes(chunk);
    if (states[chunk] != Done) {
      const uint64_t first = std::max(at / size, counted_to), after = (end + size - 1) / size;
      if (after > first) lost += after - first, counted_to = after;
    }
    at = end;
  }
  const uint64_t all = plan.bytes() / size;
  return lost > all ? 0 : all - lost;
}

TransferResult Transfer::result() {
  TransferResult out;
  {
    const std::lock_guard lock(mutex_);
    if (complete()) out.failure.phase = Phase::Done;
    else out.failure = failure_;
  }
  out.id = id;
  out.peer = spec.peer;
  out.transport = transport;
  out.bytes = plan.bytes();
  out.bytes_done = bytesDone();
  out.chunks = plan.chunks();
  out.chunks_done = chunks_done_;
  out.blocks_done = blocksDone();
  out.pieces = plan.pieces();
  out.resumed_bytes = resumed_bytes;
  out.retries = retries;
  out.checksum_failures = checksum_failures;
  out.fallbacks = fallbacks;
  timeline.add(out.failure.ok() ? "done" : "failed", out.failure.ok() ? "" : name(out.failure.code));
  out.duration_us = (nowNs() - timeline.startNs()) / 1000;
  out.timeline = timeline.entries(out.timeline_dropped);
  return out;
}

} // namespace dynamo_labs::transfer
