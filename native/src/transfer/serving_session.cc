#include "serving_session.h"

#include <cstring>

#include "byte_codec.h"
#include "monotonic.h"

namespace dynamo_labs::transfer {

bool NotificationLog::first(uint64_t sender_epoch, uint32_t sequence) {
  std::set<uint32_t>& seen = seen_[sender_epoch];
  if (!seen.insert(sequence).second) return false;
  if (seen.size() > 4096) seen.erase(seen.begin());
  return true;
}

ServingSession::ServingSession(IoContext& io, NotificationLog& log, std::unique_ptr<ByteStream> stream, const Address& at, FaultPlan* faults)
    : io_(io), log_(log), faults_(faults), local_(at.is_unix), hello_by_(nowNs() + io.options.handshake_ms * kMs) {
  io_.sessions++;
  connection_ = std::make_unique<Connection>(std::move(stream), true, *this, faults, FaultSide::Serve);
  challenge_ = {io.identity, randomNonce()};
  if (faults_ && faults_->take(FaultKind::WrongEpoch, FaultSide::Serve)) challenge_.owner.epoch ^= 1;
  FrameHeader header;
  header.type = FrameType::Challenge;
  connection_->send(header, encode(challenge_));
  if (faults_ && faults_->take(FaultKind::Refuse, FaultSide::Serve)) refuse(Code::Admission, "fault: refuse");
}

ServingSession::~ServingSession() {
  *self_ = nullptr;
  io_.sessions--;
}

int64_t ServingSession::tick(int64_t now) {
  if (closed()) return kNever;
  int64_t due = connection_->tick(now);
  if (!welcome_) {
    if (now >= hello_by_) {
      if (refused_) connection_->close({Code::Closed, Phase::Handshake, 0, "refused"});
      else close({Code::Deadline, Phase::Handshake, 0, "no handshake in time"});
      return kNever;
    }
    due = std::min(due, hello_by_);
  }
  if (not_before_ > 0) {
    if (now < not_before_) return std::min(due, not_before_);
    not_before_ = 0;
    connection_->wantDrain();
  }
  return due;
}

void ServingSession::close(const Failure& why) {
  if (connection_) connection_->close(why);
}

void ServingSession::onClosed(Connection&, const Failure& why) {
  // A peer that goes away is no news; one that breaks the rules or never proves itself is.
  if (why.code != Code::RemoteDisconnect && why.code != Code::Closed) {
    io_.metrics.refused[static_cast<size_t>(why.code)]++;
    io_.events.push(Refused{why, hello_.reader.name});
  }
  pending_.clear();
  held_back_.reset();
}

void ServingSession::refuse(Code code, const std::string& reason) {
  FrameHeader header;
  header.type = FrameType::Refuse;
  connection_->send(header, encode(Refusal{code, reason}));
  refused_ = true;
  hello_by_ = nowNs() + 200 * kMs; // the peer reads the reason and closes; otherwise we do
  io_.metrics.refused[static_cast<size_t>(code)]++;
  io_.events.push(Refused{{code, Phase::Handshake, 0, reason}, hello_.reader.name});
}

void ServingSession::onFrame(Connection& connection, const FrameHeader& header, const std::vector<uint8_t>& payload, std::vector<UniqueFd> fds) {
  if (refused_) return;
  if (!fds.empty()) return connection.close({Code::Protocol, Phase::Handshake, 0, "descriptors that nobody asked for"});
  if (!welcome_) {
    if (header.type != FrameType::Hello) return connection.close({Code::Unauthorized, Phase::Handshake, 0, "spoke before the handshake"});
    return onHello(payload);
  }
  if (hello_.channel == Channel::Data && header.type != FrameType::Request) return connection.close({Code::Protocol, Phase::Read, 0, "a frame for the control connection"});
  switch (header.type) {
  case FrameType::Map: return onMap(header);
  case FrameType::Request: return onRequest(header, payload);
  case FrameType::Notify: return onNotify(header, payload);
  case FrameType::Push: return onPush(header, payload);
  case FrameType::Renew:
    if (io_.grants.renew(header.aux)) io_.metrics.leases_renewed++;
    return;
  case FrameType::Challenge:
  case FrameType::Hello:
  case FrameType::Welcome:
  case FrameType::Refuse:
  case FrameType::Mapped:
  case FrameType::Data:
  case FrameType::Failed:
  case FrameType::NotifyAck:
  case FrameType::PushDone: return connection.close({Code::Protocol, Phase::Read, 0, "a frame that only owners send"});
  }
}

void ServingSession::onHello(const std::vector<uint8_t>& payload) {
  const auto hello = decodeHello(payload.data(), payload.size());
  if (!hello) return close({Code::Protocol, Phase::Handshake, 0, "not a Hello"});
  hello_ = *hello;
  if (!sameDigest(helloProof(io_.options.token, challenge_, hello_), hello_.proof)) return refuse(Code::Unauthorized, "the token is not ours");
  if (hello_.reader.fingerprint != io_.identity.fingerprint)
    return refuse(Code::Mismatch, "the reader's fingerprint is '" + hello_.reader.fingerprint.substr(0, 80) + "', ours '" + io_.identity.fingerprint.substr(0, 80) + "'");
  if (hello_.expected_epoch != 0 && hello_.expected_epoch != challenge_.owner.epoch) return refuse(Code::EpochMismatch, "the grant is of an earlier process");
  welcome_ = true;
  FrameHeader header;
  header.type = FrameType::Welcome;
  connection_->send(header, encode(Welcome{welcomeProof(io_.options.token, challenge_, hello_)}));
  if (hello_.channel == Channel::Data) io_.poller.post([&io = io_, self = this] { moveToBulk(io, self); }); // not from inside the connection that called us
}

void ServingSession::moveToBulk(IoContext& io, ServingSession* session) {
  const std::shared_ptr<LoopMember> kept = io.loop.release(session); // it may be gone
  if (!kept || session->closed()) return;
  IoLoop* const to = session->connection_->movable() ? io.bulk.leastLoaded() : nullptr;
  if (!to) return io.loop.adopt(kept);
  session->connection_->leaveFor(to->poller);
  to->send(kept);
}

void ServingSession::onMap(const FrameHeader& header) {
  const std::shared_ptr<Pool> pool = io_.pool(static_cast<uint32_t>(header.aux));
  if (!pool) return sendFailed(header, {Code::NotFound, Phase::Map, 0, "no such pool"});
  if (!local_ || !pool->shared()) return sendFailed(header, {Code::NotSupported, Phase::Map, 0, "this memory cannot be mapped"});
  FrameHeader answer = header;
  answer.type = FrameType::Mapped;
  connection_->send(answer, {1}, {pool->dataFd(), pool->controlFd()}); // one byte: descriptors need something to travel with
}

void ServingSession::onRequest(const FrameHeader& header, const std::vector<uint8_t>& payload) {
  ByteReader in(payload.data(), payload.size());
  Pending request{header, {}, in.get<uint32_t>(), 0};
  uint64_t bytes = 0;
  while (in.ok() && in.left() > 0) {
    const uint64_t offset = in.get<uint64_t>();
    const uint32_t length = in.get<uint32_t>();
    request.ranges.push_back({offset, length});
    bytes += length;
  }
  if (!in.done() || bytes == 0 || bytes > maxPayload(FrameType::Data)) return close({Code::Protocol, Phase::Read, 0, "a request of no or too many bytes"});
  request.bytes = static_cast<uint32_t>(bytes);
  pending_bytes_ += bytes;
  if (pending_bytes_ > 4 * io_.options.peer_window) return close({Code::Admission, Phase::Read, 0, "more asked for than any window allows"});
  pending_.push_back(std::move(request));
  connection_->wantDrain();
}

void ServingSession::onNotify(const FrameHeader& header, const std::vector<uint8_t>& payload) {
  FrameHeader answer = header;
  answer.type = FrameType::NotifyAck;
  connection_->send(answer);
  if (!log_.first(hello_.reader.epoch, header.sequence)) {
    io_.metrics.notifications_repeated++;
    return;
  }
  std::vector<GrantReport> ended;
  if (header.aux != 0) io_.grants.release(header.aux, ended);
  io_.reportGrants(ended);
  if (payload.empty()) return;
  io_.metrics.notifications_received++;
  io_.events.push(Notification{hello_.reader.name, {payload.begin(), payload.end()}});
}

void ServingSession::onPush(const FrameHeader& header, const std::vector<uint8_t>& payload) {
  auto order = decodePushOrder(payload.data(), payload.size());
  if (!order || order->writer != hello_.reader.name) return close({Code::Protocol, Phase::Read, 0, "not a push"});
  order->answer = [self = self_, transfer = header.transfer](const TransferResult& result) {
    if (*self) (*self)->answerPush(transfer, result);
  };
  const Failure refused = io_.accept_push(std::move(*order));
  if (refused.ok()) return;
  TransferResult result;
  result.failure = refused;
  answerPush(header.transfer, result);
}

void ServingSession::answerPush(uint64_t transfer, const TransferResult& result) {
  if (closed()) return;
  FrameHeader header;
  header.type = FrameType::PushDone;
  header.transfer = transfer;
  header.aux = result.bytes_done;
  connection_->send(header, ByteWriter().put(static_cast<uint8_t>(result.failure.code)).text(result.failure.message.substr(0, 400)).take());
}

void ServingSession::sendFailed(const FrameHeader& request, const Failure& why) {
  FrameHeader header = request;
  header.type = FrameType::Failed;
  connection_->send(header, encode(Refusal{why.code, why.message}));
}

} // namespace dynamo_labs::transfer
