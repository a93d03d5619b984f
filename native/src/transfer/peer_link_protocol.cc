// The reader's end: what is said over the control connection.
#include <algorithm>
#include <cstring>

#include "byte_codec.h"
#include "monotonic.h"
#include "peer_link.h"

namespace dynamo_labs::transfer {

void PeerLink::onFrame(Connection& connection, const FrameHeader& header, const std::vector<uint8_t>& payload, std::vector<UniqueFd> fds) {
  if (!handshake_->welcome()) {
    if (handshake_->onFrame(connection, header, payload)) welcomed();
    return;
  }
  switch (header.type) {
  case FrameType::Mapped: return onMapped(header, std::move(fds));
  case FrameType::Failed: return onFailed(header, payload);
  case FrameType::NotifyAck: notices_.erase(header.sequence); return;
  case FrameType::PushDone: return onPushDone(header, payload);
  case FrameType::Challenge:
  case FrameType::Hello:
  case FrameType::Welcome:
  case FrameType::Refuse:
  case FrameType::Map:
  case FrameType::Request:
  case FrameType::Data:
  case FrameType::Renew:
  case FrameType::Notify:
  case FrameType::Push: return connection.close({Code::Protocol, Phase::Read, 0, "a frame that owners do not send"});
  }
}

void PeerLink::welcomed() {
  if (!handshake_->welcome() || lanes_welcome_ < lanes_.size()) return;
  state_ = State::Ready;
  was_ready_ = true;
  renew_at_ = 0;
  if (!usesLanes()) {
    for (const std::shared_ptr<Transfer>& transfer : std::vector(detached_)) start(transfer);
  } else {
    for (const auto& [id, transfer] : transfers_)
      if (isUnderWay(*transfer)) start(transfer);
  }
  for (const auto& [id, transfer] : pushes_) start(transfer);
  for (auto& [sequence, notice] : notices_) sendNotice(sequence, notice);
  for (const auto& lane : lanes_) lane->go();
}

void PeerLink::start(const std::shared_ptr<Transfer>& transfer) {
  const auto push = push_orders_.find(transfer->id);
  FrameHeader header;
  header.transfer = transfer->id;
  if (push != push_orders_.end()) {
    header.type = FrameType::Push;
    transfer->timeline.add("asked_to_read");
    transfer->setPhase(Phase::Read);
    return control_->send(header, push->second);
  }
  transfer->timeline.add("handshake");
  if (transfer->bytesDone() > 0) {
    const uint64_t missing = transfer->plan.bytes() - transfer->bytesDone();
    transfer->resumed_bytes += missing;
    io_.metrics.resumed_bytes += missing;
    transfer->timeline.add("resumed", std::to_string(missing));
  }
  if (usesLanes()) return transfer->setPhase(Phase::Read);
  const auto mapped = maps_.find(transfer->spec.grant.pool);
  if (mapped != maps_.end()) {
    transfer->setPhase(Phase::Read);
    const std::shared_ptr<Transfer> kept = transfer;
    std::erase(detached_, kept);
    return io_.copy(kept, mapped->second);
  }
  transfer->setPhase(Phase::Map);
  header.type = FrameType::Map;
  header.aux = transfer->spec.grant.pool;
  control_->send(header);
}

void PeerLink::onMapped(const FrameHeader& header, std::vector<UniqueFd> fds) {
  const uint32_t pool = static_cast<uint32_t>(header.aux);
  if (!maps_.contains(pool)) {
    try {
      if (fds.size() != 2) throw std::runtime_error("no descriptors came with the answer");
      maps_[pool] = {MappedPool::map(std::move(fds[0]), std::move(fds[1])), std::make_shared<std::atomic<bool>>(true)};
    } catch (const std::exception& error) {
      const Failure why{Code::Backend, Phase::Map, errno, error.what()};
      for (const std::shared_ptr<Transfer>& transfer : std::vector(detached_)) {
        drop(transfer);
        io_.reroute(transfer, why);
      }
      return;
    }
    if (on_mapped) on_mapped(pool, maps_[pool]);
  }
  for (const std::shared_ptr<Transfer>& transfer : std::vector(detached_)) {
    if (transfer->spec.grant.pool != pool) continue;
    transfer->setPhase(Phase::Read);
    std::erase(detached_, transfer);
    io_.copy(transfer, maps_[pool]);
  }
}

void PeerLink::lost(const std::shared_ptr<Transfer>& transfer) {
  if (transfer->settled() || !transfers_.contains(transfer->id)) {
    if (transfer->stop({Code::RemoteDisconnect, Phase::Read, 0, "the owner is out of reach"})) io_.settle(transfer);
    return;
  }
  transfer->retries++;
  io_.metrics.retries++;
  transfer->timeline.add("disconnected");
  if (++transfer->attempts > io_.options.max_attempts) return settle(transfer, {Code::RemoteDisconnect, Phase::Read, 0, "the connection was lost too often"});
  detached_.push_back(transfer);
  if (state_ == State::Ready) start(transfer);
  else if (state_ == State::Idle) connect();
}

void PeerLink::onFailed(const FrameHeader& header, const std::vector<uint8_t>& payload) {
  const auto refusal = decodeRefusal(payload.data(), payload.size());
  if (!refusal) return fail({Code::Protocol, Phase::Read, 0, "not a Failed"});
  const auto at = transfers_.find(header.transfer);
  if (at == transfers_.end()) return;
  const std::shared_ptr<Transfer> transfer = at->second;
  if (refusal->code == Code::NotSupported && transfer->phase == static_cast<uint8_t>(Phase::Map)) { // memory that was not made for sharing: by socket
    drop(transfer);
    return io_.reroute(transfer, {refusal->code, Phase::Map, 0, refusal->reason});
  }
  settle(transfer, {refusal->code, transfer->spec.pieces.empty() ? Phase::Queued : static_cast<Phase>(transfer->phase.load()), 0, refusal->reason});
}

void PeerLink::onPushDone(const FrameHeader& header, const std::vector<uint8_t>& payload) {
  ByteReader in(payload.data(), payload.size());
  const uint8_t code = in.get<uint8_t>();
  const std::string message = in.text(400);
  const auto at = pushes_.find(header.transfer);
  if (at == pushes_.end() || !in.done() || code >= kCodes) return;
  const std::shared_ptr<Transfer> transfer = at->second;
  if (code == 0) transfer->finishRemotely();
  settle(transfer, {static_cast<Code>(code), Phase::Read, 0, "the target: " + message});
}

} // namespace dynamo_labs::transfer
