// The bulk side of the owner's end: chunks are prepared one at a time, when the socket has room, so that a hash is computed while the bytes are warm
// and a grant is checked as late as possible.
#include <cstring>

#include "chunk_hash.h"
#include "monotonic.h"
#include "serving_session.h"

namespace dynamo_labs::transfer {

bool ServingSession::prepare(const Pending& request, Prepared& out) {
  std::shared_ptr<Pool> pool;
  Failure failure = io_.grants.check(request.header.aux, request.pool, request.ranges, pool);
  if (!failure.ok()) return sendFailed(request.header, failure), false;
  const bool verify = (request.header.flags & kUnverified) == 0;
  out.pieces.reserve(request.ranges.size());
  for (const Range& range : request.ranges)
    if (range.length > 0) out.pieces.push_back({pool->data() + range.offset, range.length});
  out.header = request.header;
  out.header.type = FrameType::Data;
  out.header.length = request.bytes;
  if (verify) {
    out.header.payload_hash = hashPieces(out.pieces.data(), out.pieces.size());
    // What was withdrawn and written again while it was hashed would be verified as it is now.
    failure = io_.grants.check(request.header.aux, request.pool, request.ranges, pool);
    if (!failure.ok()) return sendFailed(request.header, failure), false;
  }
  out.keep = pool;
  if (faults_ && faults_->take(FaultKind::Flip, FaultSide::Serve)) {
    const auto copy = std::make_shared<std::vector<uint8_t>>();
    for (const iovec& piece : out.pieces) {
      const auto* from = static_cast<const uint8_t*>(piece.iov_base);
      copy->insert(copy->end(), from, from + piece.iov_len);
    }
    (*copy)[faults_->draw() % copy->size()] ^= static_cast<uint8_t>(1u << (faults_->draw() % 8));
    out.pieces = {{copy->data(), copy->size()}};
    out.keep = copy;
  }
  io_.grants.served(request.header.aux, request.bytes);
  io_.metrics.bytes_served += request.bytes;
  return true;
}

void ServingSession::onDrained(Connection& connection) {
  while (connection.open() && connection.idle() && !pending_.empty()) {
    if (faults_ && not_before_ == 0 && !pending_.front().delayed) {
      if (const auto delay = faults_->take(FaultKind::Delay, FaultSide::Serve)) {
        not_before_ = nowNs() + delay->ms * kMs;
        pending_.front().delayed = true;
      }
    }
    if (not_before_ > 0) return;
    const Pending request = std::move(pending_.front());
    pending_.pop_front();
    pending_bytes_ -= request.bytes;
    Prepared prepared;
    if (!prepare(request, prepared)) continue;
    if (faults_ && !held_back_ && !pending_.empty() && faults_->take(FaultKind::Reorder, FaultSide::Serve)) {
      held_back_ = std::move(prepared);
      continue;
    }
    if (faults_ && faults_->take(FaultKind::Duplicate, FaultSide::Serve)) sendPrepared(prepared);
    sendPrepared(std::move(prepared));
    if (held_back_) {
      sendPrepared(std::move(*held_back_));
      held_back_.reset();
    }
  }
}

void ServingSession::sendPrepared(Prepared prepared) { connection_->sendPieces(prepared.header, std::move(prepared.pieces), std::move(prepared.keep)); }

void ServingSession::onExpireFault() {
  std::vector<GrantReport> ended;
  io_.grants.expire(nowNs(), ended, true);
  io_.reportGrants(ended);
}

} // namespace dynamo_labs::transfer
