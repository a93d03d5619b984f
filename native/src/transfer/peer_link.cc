#include "peer_link.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "byte_codec.h"
#include "monotonic.h"

namespace dynamo_labs::transfer {

PeerLink::PeerLink(IoContext& io, PeerKey key, Address address)
    : io_(io), key_(std::move(key)), address_(std::move(address)), wanted_(io.outstanding, io.options.window) {}

bool PeerLink::isFatal(Code code) const { return code == Code::Mismatch || code == Code::Unauthorized || code == Code::EpochMismatch || code == Code::NotSupported; }

void PeerLink::add(std::shared_ptr<Transfer> transfer) {
  transfer->transport = key_.kind;
  transfers_[transfer->id] = transfer;
  if (!usesLanes()) detached_.push_back(transfer);
  if (state_ == State::Ready) start(transfer);
  if (usesLanes()) wanted_.add(transfer); // from here on lanes may have it
  if (state_ == State::Idle) return connect();
  if (state_ != State::Ready) return;
  // Few chunks are not worth waking everybody for.
  for (size_t i = 0; i < std::min<size_t>(lanes_.size(), transfer->plan.chunks()); i++) lanes_[(next_lane_ + i) % lanes_.size()]->go();
  next_lane_++;
}

void PeerLink::push(std::shared_ptr<Transfer> transfer, std::vector<uint8_t> order) {
  transfer->transport = key_.kind;
  pushes_[transfer->id] = transfer;
  push_orders_[transfer->id] = std::move(order);
  if (state_ == State::Idle) return connect();
  if (state_ == State::Ready) start(transfer);
}

void PeerLink::drop(const std::shared_ptr<Transfer>& transfer) {
  transfers_.erase(transfer->id);
  pushes_.erase(transfer->id);
  push_orders_.erase(transfer->id);
  std::erase(detached_, transfer);
  wanted_.drop(transfer->id);
}

void PeerLink::settle(const std::shared_ptr<Transfer>& transfer, Failure why) {
  const std::shared_ptr<Transfer> kept = transfer; // drop() may free the caller's
  drop(kept);
  if (kept->stop(std::move(why))) io_.settle(kept);
}

void PeerLink::connect() {
  state_ = State::Connecting;
  handshake_by_ = nowNs() + io_.options.handshake_ms * kMs;
  for (const auto& [id, transfer] : transfers_) transfer->setPhase(Phase::Connect);
  int err = 0;
  std::unique_ptr<ByteStream> stream = io_.dial(address_, io_.poller, err);
  if (!stream) return fail({Code::RemoteDisconnect, Phase::Connect, err, std::strerror(err)});
  handshake_.emplace(io_.identity, io_.options.token, key_, Channel::Control);
  control_ = std::make_unique<Connection>(std::move(stream), err == 0, *this, nullptr, FaultSide::Read);
  for (size_t i = 0; i < laneCount(); i++) {
    IoLoop* const bulk = key_.kind == TransportKind::Ucx ? nullptr : io_.bulk.loop(i);
    IoLoop& loop = bulk ? *bulk : io_.loop;
    lanes_.push_back(std::make_shared<ReaderLane>(io_, loop, *this, wanted_, key_, address_, io_.options.peer_window / laneCount()));
    loop.send(lanes_.back());
  }
}

void PeerLink::close() {
  if (control_) control_->abandon();
  lanes_.clear();
  for (auto& [pool, source] : maps_) *source.owner_lives = false;
  maps_.clear();
}

void PeerLink::fail(const Failure& why) {
  if (control_) {
    control_->abandon();
    io_.bury(std::move(control_));
  }
  for (const auto& lane : lanes_) lane->shut();
  lanes_.clear();
  lanes_welcome_ = 0;
  for (auto& [pool, source] : maps_) *source.owner_lives = false;
  maps_.clear();
  const bool was_up = state_ == State::Ready;
  // A socket file that nobody listens on any more: the owner's process is gone. Over TCP the same is believed after a second try.
  const bool gone = why.phase == Phase::Connect && was_ready_ && (why.err == ECONNREFUSED || why.err == ENOENT) && (address_.is_unix || failures_ > 1);
  failures_ = was_up ? 0 : failures_ + 1;
  // What was up is dialled again at once; who cannot be reached, or hangs up right after the handshake, is waited for.
  const int64_t now = nowNs(), dialled_at = handshake_by_ - io_.options.handshake_ms * kMs;
  retry_at_ = now;
  if (!was_up || now - dialled_at < 10 * kMs) retry_at_ += (std::min<int64_t>(5 << std::min(failures_, 6u), 300) + static_cast<int64_t>(jitter_() % 5)) * kMs;
  state_ = State::Waiting;
  const Transfers reads = transfers_, pushes = pushes_; // settling and rerouting change them
  for (const auto& [id, transfer] : reads) {
    if (!isUnderWay(*transfer)) continue;
    transfer->attempts++;
    if (was_up) transfer->retries++, io_.metrics.retries++, transfer->timeline.add("disconnected", why.message);
    if (isFatal(why.code)) settle(transfer, why);
    else if (gone) settle(transfer, {Code::RemoteDisconnect, Phase::Read, why.err, "the owner is gone"});
    else if (transfer->attempts > io_.options.max_attempts || (!was_ready_ && transfer->transport_at + 1 < transfer->spec.transports.size())) {
      if (usesLanes() || std::find(detached_.begin(), detached_.end(), transfer) != detached_.end()) {
        drop(transfer);
        io_.reroute(transfer, why);
      }
    }
  }
  for (const auto& [id, transfer] : pushes)
    if (was_up || isFatal(why.code) || gone || ++transfer->attempts > io_.options.max_attempts) settle(transfer, why);
  if (transfers_.empty() && pushes_.empty() && (notices_.empty() || gone || failures_ > io_.options.max_attempts)) {
    notices_.clear();
    state_ = State::Idle;
  }
}

void PeerLink::onClosed(Connection&, const Failure& why) {
  Failure seen = why;
  if (!handshake_->welcome() && seen.phase != Phase::Connect) seen.phase = Phase::Handshake;
  fail(seen);
}

bool PeerLink::isLane(const ReaderLane& lane) const {
  return std::any_of(lanes_.begin(), lanes_.end(), [&lane](const auto& one) { return one.get() == &lane; });
}

void PeerLink::onLaneWelcome(const ReaderLane& lane) {
  if (!isLane(lane)) return;
  lanes_welcome_++;
  welcomed();
}

void PeerLink::onLaneClosed(const ReaderLane& lane, const Failure& why) {
  if (isLane(lane)) fail(why);
}

int64_t PeerLink::tick(int64_t now) {
  int64_t due = control_ ? control_->tick(now) : kNever;
  if (state_ == State::Waiting) {
    if (now < retry_at_) return std::min(due, retry_at_);
    connect();
  }
  if (state_ == State::Connecting) {
    if (now >= handshake_by_) fail({Code::RemoteDisconnect, Phase::Handshake, ETIMEDOUT, "no answer to the handshake"});
    else due = std::min(due, handshake_by_);
  }
  if (state_ != State::Ready) return state_ == State::Waiting ? std::min(due, retry_at_) : due;
  for (auto& [sequence, notice] : notices_) {
    if (now >= notice.resend_at) sendNotice(sequence, notice);
    due = std::min(due, notice.resend_at);
  }
  if (transfers_.empty()) return due;
  if (now >= renew_at_) {
    renew_at_ = now + 250 * kMs;
    for (const auto& [id, transfer] : transfers_) {
      FrameHeader header;
      header.type = FrameType::Renew;
      header.aux = transfer->spec.grant.id;
      control_->send(header);
    }
  }
  return std::min(due, renew_at_);
}

void PeerLink::notify(const std::string& payload, uint64_t released_grant) {
  const uint32_t sequence = io_.next_notice++;
  Notice& notice = notices_[sequence] = {payload, released_grant, nowNs()};
  if (!payload.empty()) io_.metrics.notifications_sent++;
  if (state_ == State::Ready) sendNotice(sequence, notice);
  else if (state_ == State::Idle) connect();
}

void PeerLink::sendNotice(uint32_t sequence, Notice& notice) {
  notice.resend_at = nowNs() + 300 * kMs * ++notice.tries;
  if (io_.faults && io_.faults->take(FaultKind::DropNotification, FaultSide::Read)) return;
  FrameHeader header;
  header.type = FrameType::Notify;
  header.sequence = sequence;
  header.aux = notice.grant;
  control_->send(header, {notice.payload.begin(), notice.payload.end()});
}

} // namespace dynamo_labs::transfer
