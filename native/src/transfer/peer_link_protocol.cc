// The reader's end: handshake, mapping, and the chunks themselves.
#include <algorithm>
#include <cstring>

#include "byte_codec.h"
#include "monotonic.h"
#include "peer_link.h"

namespace dynamo_labs::transfer {

namespace {
constexpr uint32_t kMaxChecksumFailures = 16;
}

void PeerLink::onFrame(Connection& connection, const FrameHeader& header, const std::vector<uint8_t>& payload, std::vector<UniqueFd> fds) {
  Wire& wire = wireOf(connection);
  if (!wire.welcome) return onHandshakeFrame(wire, header, payload);
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

void PeerLink::onHandshakeFrame(Wire& wire, const FrameHeader& header, const std::vector<uint8_t>& payload) {
  Connection& connection = *wire.connection;
  const auto end = [&](Code code, const std::string& why) { connection.close({code, Phase::Handshake, 0, why}); };
  if (header.type == FrameType::Refuse) {
    const auto refusal = decodeRefusal(payload.data(), payload.size());
    return refusal ? end(refusal->code, "refused: " + refusal->reason) : end(Code::Protocol, "not a Refuse");
  }
  if (header.type == FrameType::Challenge && !wire.challenged) {
    const auto challenge = decodeChallenge(payload.data(), payload.size());
    if (!challenge) return end(Code::Protocol, "not a Challenge");
    wire.challenge = *challenge;
    wire.challenged = true;
    if (challenge->owner.name != key_.name) return end(Code::Mismatch, "another agent answers at this address: " + challenge->owner.name);
    if (key_.epoch != 0 && challenge->owner.epoch != key_.epoch) return end(Code::EpochMismatch, "the owner is another process than the one that granted");
    if (challenge->owner.fingerprint != io_.identity.fingerprint) return end(Code::Mismatch, "the owner's fingerprint is '" + challenge->owner.fingerprint + "'");
    wire.hello = {io_.identity, key_.epoch, &wire == &data_ ? Channel::Data : Channel::Control, randomNonce(), {}};
    wire.hello.proof = helloProof(io_.options.token, wire.challenge, wire.hello);
    FrameHeader answer;
    answer.type = FrameType::Hello;
    return connection.send(answer, encode(wire.hello));
  }
  if (header.type != FrameType::Welcome || !wire.challenged) return end(Code::Protocol, "not a handshake");
  const auto welcome = decodeWelcome(payload.data(), payload.size());
  if (!welcome || !sameDigest(welcome->proof, welcomeProof(io_.options.token, wire.challenge, wire.hello))) return end(Code::Unauthorized, "the owner does not know the token");
  wire.welcome = true;
  if (control_.welcome && (!usesData() || data_.welcome)) ready();
}

void PeerLink::ready() {
  state_ = State::Ready;
  was_ready_ = true;
  renew_at_ = 0;
  if (!usesData()) {
    for (const std::shared_ptr<Transfer>& transfer : std::vector(detached_)) start(transfer);
  } else {
    for (const auto& [id, transfer] : transfers_) start(transfer);
  }
  for (const auto& [id, transfer] : pushes_) start(transfer);
  for (auto& [sequence, notice] : notices_) sendNotice(sequence, notice);
  pump();
}

void PeerLink::start(const std::shared_ptr<Transfer>& transfer) {
  const auto push = push_orders_.find(transfer->id);
  FrameHeader header;
  header.transfer = transfer->id;
  if (push != push_orders_.end()) {
    header.type = FrameType::Push;
    transfer->timeline.add("asked_to_read");
    transfer->setPhase(Phase::Read);
    return control_.connection->send(header, push->second);
  }
  transfer->timeline.add("handshake");
  if (transfer->bytesDone() > 0) {
    const uint64_t missing = transfer->plan.bytes() - transfer->bytesDone();
    transfer->resumed_bytes += missing;
    io_.metrics.resumed_bytes += missing;
    transfer->timeline.add("resumed", std::to_string(missing));
  }
  if (usesData()) return transfer->setPhase(Phase::Read);
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
  control_.connection->send(header);
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
  forget(header.transfer, header.sequence);
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

void PeerLink::pump() {
  if (state_ != State::Ready || !usesData() || turn_.empty()) return;
  // Asks in batches of a quarter of the window: the owner wakes up once for several chunks.
  if (outstanding_bytes_ > io_.options.peer_window / 4 * 3) return;
  bool full = false;
  data_.connection->hold();
  while (!turn_.empty()) {
    full = outstanding_bytes_ >= io_.options.peer_window || (io_.outstanding >= io_.options.window && outstanding_bytes_ > 0);
    if (full) break;
    const uint64_t id = turn_.front();
    turn_.pop_front();
    const auto at = transfers_.find(id);
    if (at == transfers_.end()) continue;
    Transfer& transfer = *at->second;
    while (transfer.cursor < transfer.states.size() && transfer.states[transfer.cursor] != Transfer::Missing) transfer.cursor++;
    if (transfer.cursor == transfer.states.size()) continue;
    request(transfer, transfer.cursor++);
    turn_.push_back(id);
  }
  data_.connection->flush();
  if (full && !stalled_) io_.metrics.credit_stalls++;
  stalled_ = full;
}

void PeerLink::request(Transfer& transfer, uint32_t chunk) {
  FrameHeader header;
  header.type = FrameType::Request;
  header.flags = transfer.spec.verify ? 0 : kUnverified;
  header.transfer = transfer.id;
  header.aux = transfer.spec.grant.id;
  header.sequence = chunk;
  ByteWriter out;
  out.put(transfer.spec.grant.pool);
  uint32_t bytes = 0;
  for (const Piece* piece = transfer.plan.begin(chunk); piece != transfer.plan.end(chunk); piece++) {
    out.put(piece->remote).put(static_cast<uint32_t>(piece->length));
    bytes += static_cast<uint32_t>(piece->length);
  }
  transfer.states[chunk] = Transfer::Asked;
  outstanding_[{transfer.id, chunk}] = bytes;
  outstanding_bytes_ += bytes;
  io_.outstanding += bytes;
  data_.connection->send(header, out.take());
}

uint32_t PeerLink::forget(uint64_t transfer, uint32_t chunk) {
  const auto at = outstanding_.find({transfer, chunk});
  if (at == outstanding_.end()) return 0;
  const uint32_t bytes = at->second;
  outstanding_.erase(at);
  outstanding_bytes_ -= bytes;
  io_.outstanding -= bytes;
  return bytes;
}

bool PeerLink::onDataTarget(Connection& connection, const FrameHeader& header, std::vector<iovec>& target) {
  const auto at = transfers_.find(header.transfer);
  if (!data_.welcome || data_.connection.get() != &connection) return connection.close({Code::Protocol, Phase::Read, 0, "bulk on a control connection"}), false;
  if (at == transfers_.end() || header.sequence >= at->second->states.size() || at->second->states[header.sequence] != Transfer::Asked) return false;
  const Transfer& transfer = *at->second;
  uint64_t bytes = 0;
  for (const Piece* piece = transfer.plan.begin(header.sequence); piece != transfer.plan.end(header.sequence); piece++) {
    target.push_back({transfer.spec.local->data() + piece->local, piece->length});
    bytes += piece->length;
  }
  if (bytes != header.length) return connection.close({Code::Protocol, Phase::Read, 0, "a chunk of another length than asked for"}), false;
  return true;
}

void PeerLink::onData(Connection&, const FrameHeader& header, bool intact, bool discarded) {
  const uint32_t bytes = forget(header.transfer, header.sequence);
  const auto at = transfers_.find(header.transfer);
  if (discarded || at == transfers_.end()) return;
  const std::shared_ptr<Transfer> transfer = at->second;
  if (transfer->spec.verify && (header.flags & kUnverified) != 0) intact = false; // asked to be verified: an owner cannot decide otherwise
  if (intact) {
    transfer->attempts = 0;
    if (transfer->chunkDone(header.sequence, bytes)) settle(transfer, {});
  } else {
    transfer->states[header.sequence] = Transfer::Missing;
    transfer->cursor = std::min(transfer->cursor, header.sequence);
    turn_.push_back(transfer->id);
    transfer->timeline.add("checksum", std::to_string(header.sequence));
    if (++transfer->checksum_failures > kMaxChecksumFailures) settle(transfer, {Code::Checksum, Phase::Read, 0, "too many chunks did not match their checksum"});
  }
  pump();
}

} // namespace dynamo_labs::transfer
