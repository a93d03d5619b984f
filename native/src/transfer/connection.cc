#include "connection.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "chunk_hash.h"
#include "monotonic.h"

namespace dynamo_labs::transfer {

namespace {

constexpr size_t kBudget = 2 << 20; // per wake-up: others get their turn
constexpr size_t kMaxIov = 1024, kMaxFdsHeld = 8;
thread_local uint8_t scratch[64 << 10];

} // namespace

Connection::Connection(std::unique_ptr<ByteStream> stream, bool connected, ConnectionHandler& handler, FaultPlan* faults, FaultSide side)
    : stream_(std::move(stream)), handler_(handler), faults_(faults), side_(side), connecting_(!connected) {
  watched_ = connecting_ ? EPOLLOUT : EPOLLIN;
  stream_->watch(watched_, this);
}

void Connection::abandon() { stream_.reset(); }

void Connection::close(const Failure& why) {
  if (!stream_) return;
  abandon();
  handler_.onClosed(*this, why);
}

void Connection::watch() {
  if (!stream_) return;
  const bool paused = paused_until_ > 0;
  const uint32_t wanted = connecting_ ? uint32_t(EPOLLOUT) : (paused ? 0u : uint32_t(EPOLLIN)) | (!paused && (!out_.empty() || want_drain_) && !writes_ended_ ? uint32_t(EPOLLOUT) : 0u);
  if (wanted == watched_) return;
  watched_ = wanted;
  stream_->watch(wanted, this);
}

void Connection::arrive() {
  if (stream_) stream_->watch(watched_, this);
}

void Connection::onReady(uint32_t events) {
  if (!stream_) return;
  if (connecting_) {
    const int err = stream_->connectError();
    if (err != 0) return close({Code::RemoteDisconnect, Phase::Connect, err, std::strerror(err)});
    connecting_ = false;
    handler_.onConnected(*this);
  }
  if (paused_until_ > 0 && (events & (EPOLLHUP | EPOLLERR)) == 0) return watch();
  if (stream_ && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) readSome();
  if (stream_ && (events & EPOLLOUT)) writeSome(true);
  watch();
}

int64_t Connection::tick(int64_t now) {
  if (!stream_ || paused_until_ == 0) return kNever;
  if (now < paused_until_) return paused_until_;
  paused_until_ = 0;
  watch();
  return kNever;
}

void Connection::readSome() {
  size_t budget = kBudget;
  while (budget > 0 && stream_ && paused_until_ == 0) {
    iovec pieces[2];
    size_t count = 0;
    const bool data = in_payload_ && is_data_;
    if (!in_payload_) {
      pieces[count++] = {header_bytes_.data() + header_got_, kHeaderBytes - header_got_};
      // Whom we serve sends small frames, many at a time: whatever has arrived is read at once.
      if (side_ == FaultSide::Serve) pieces[count++] = {scratch, sizeof(scratch)};
    } else {
      const size_t left = header_.length - payload_got_, limit = data && faults_ ? faultLimit(left) : left;
      if (limit == 0) {
        carryOut();
        continue;
      }
      pieces[count++] = {(data ? chunk_.data() : payload_.data()) + payload_got_, limit};
      // The next frame's header rides along: one system call per chunk instead of two.
      if (data && !faults_) pieces[count++] = {header_bytes_.data(), kHeaderBytes};
    }
    const ssize_t got = stream_->receive(pieces, count, fds_);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return close({Code::RemoteDisconnect, errno == ECONNREFUSED ? Phase::Connect : Phase::Read, errno, std::strerror(errno)});
    if (got == 0) return close({Code::RemoteDisconnect, Phase::Read, 0, "the peer closed the connection"});
    if (fds_.size() > kMaxFdsHeld) return close({Code::Protocol, Phase::Read, 0, "descriptors that nobody asked for"});
    budget -= std::min(budget, static_cast<size_t>(got));
    if (data && faults_) faultMoved(static_cast<size_t>(got));
    const size_t first = std::min(static_cast<size_t>(got), pieces[0].iov_len);
    if (!in_payload_ && side_ == FaultSide::Serve) {
      if (!consume(first) || !feed(scratch, static_cast<size_t>(got) - first)) return;
    } else if (!consume(static_cast<size_t>(got))) {
      return;
    }
    if (faultDue()) carryOut();
  }
}

bool Connection::feed(const uint8_t* bytes, size_t count) {
  while (count > 0) {
    uint8_t* to = in_payload_ ? payload_.data() + payload_got_ : header_bytes_.data() + header_got_;
    const size_t take = std::min(count, in_payload_ ? header_.length - payload_got_ : kHeaderBytes - header_got_);
    std::memcpy(to, bytes, take);
    bytes += take;
    count -= take;
    if (!consume(take)) return false;
  }
  return true;
}

bool Connection::consume(size_t bytes) {
  if (!in_payload_) {
    header_got_ += bytes;
    return header_got_ < kHeaderBytes || headerComplete();
  }
  const size_t of_payload = std::min(bytes, header_.length - payload_got_);
  payload_got_ += of_payload;
  if (payload_got_ < header_.length) return true;
  if (!payloadComplete()) return false;
  if (bytes == of_payload) return true;
  header_got_ = bytes - of_payload;
  return header_got_ < kHeaderBytes || headerComplete();
}

bool Connection::headerComplete() {
  const FrameError error = decodeHeader(header_bytes_.data(), header_);
  if (error != FrameError::None) return close({Code::Protocol, Phase::Read, 0, name(error)}), false;
  header_got_ = payload_got_ = 0;
  in_payload_ = true;
  is_data_ = header_.type == FrameType::Data;
  if (is_data_ && side_ == FaultSide::Serve) return close({Code::Protocol, Phase::Read, 0, "bulk that nobody asked for"}), false;
  if (is_data_) chunk_.reserve(header_.length);
  else payload_.resize(header_.length);
  return header_.length > 0 || payloadComplete();
}

bool Connection::payloadComplete() {
  in_payload_ = false;
  if (is_data_) {
    handler_.onData(*this, header_, chunk_.data());
  } else {
    if (header_.length > 0 && hashBytes(payload_.data(), payload_.size()) != header_.payload_hash)
      return close({Code::Protocol, Phase::Read, 0, "payload checksum of a control frame"}), false;
    std::vector<UniqueFd> fds = std::move(fds_);
    fds_.clear();
    handler_.onFrame(*this, header_, payload_, std::move(fds));
  }
  return open();
}

void Connection::send(FrameHeader header, std::vector<uint8_t> payload, std::vector<int> fds) {
  if (!stream_) return;
  header.length = static_cast<uint32_t>(payload.size());
  header.payload_hash = payload.empty() ? 0 : hashBytes(payload.data(), payload.size());
  Out out;
  encodeHeader(header, out.header.data());
  out.total = kHeaderBytes + payload.size();
  out.payload = std::move(payload);
  out.fds = std::move(fds);
  out_.push_back(std::move(out));
  if (held_) return;
  if (out_.size() == 1 && !connecting_) writeSome(false);
  watch();
}

void Connection::sendPieces(const FrameHeader& header, std::vector<iovec> pieces, std::shared_ptr<const void> keep) {
  if (!stream_) return;
  Out out;
  encodeHeader(header, out.header.data());
  out.total = kHeaderBytes + header.length;
  out.pieces = std::move(pieces);
  out.keep = std::move(keep);
  out.is_data = true;
  out_.push_back(std::move(out));
  watch();
}

void Connection::wantDrain() {
  want_drain_ = true;
  watch();
}

void Connection::flush() {
  held_ = false;
  if (stream_ && !out_.empty() && !connecting_) writeSome(false);
  watch();
}

size_t Connection::gather(iovec* pieces) {
  size_t count = 0;
  for (Out& out : out_) {
    if (count > 0 && (faults_ || !out.fds.empty())) break; // faults act on single frames; descriptors begin a message
    size_t skip = out.sent, left = faults_ && out.is_data ? faultLimit(out.total - out.sent) : out.total - out.sent;
    const auto add = [&](void* data, size_t bytes) {
      if (skip >= bytes) return void(skip -= bytes);
      const size_t take = std::min(bytes - skip, left);
      if (take > 0 && count < kMaxIov) pieces[count++] = {static_cast<uint8_t*>(data) + skip, take}, left -= take;
      skip = 0;
    };
    add(out.header.data(), kHeaderBytes);
    if (!out.payload.empty()) add(out.payload.data(), out.payload.size());
    for (const iovec& piece : out.pieces) add(piece.iov_base, piece.iov_len);
    if (count == kMaxIov || !out.fds.empty()) break;
  }
  return count;
}

void Connection::wrote(size_t bytes) {
  out_.front().fds.clear();
  while (bytes > 0) {
    Out& out = out_.front();
    const size_t take = std::min(bytes, out.total - out.sent);
    out.sent += take;
    bytes -= take;
    if (out.sent == out.total) out_.pop_front();
  }
}

void Connection::writeSome(bool may_close) {
  size_t budget = kBudget;
  while (budget > 0 && stream_ && paused_until_ == 0 && !writes_ended_) {
    if (out_.empty()) {
      if (!may_close) return;
      want_drain_ = false;
      handler_.onDrained(*this);
      if (out_.empty()) return;
    }
    iovec pieces[kMaxIov];
    const size_t count = gather(pieces);
    if (count > 0) {
      const ssize_t sent = stream_->send(pieces, count, out_.front().fds);
      if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0 && !may_close) return void(writes_ended_ = true); // inside send(): reading will see the end and tell the handler
      if (sent < 0) return close({Code::RemoteDisconnect, Phase::Read, errno, std::strerror(errno)});
      budget -= std::min(budget, static_cast<size_t>(sent));
      if (faults_ && out_.front().is_data) faultMoved(static_cast<size_t>(sent));
      wrote(static_cast<size_t>(sent));
    }
    if (faultDue()) carryOut();
  }
  if (out_.empty()) want_drain_ = true; // the turn is over, not the work
}

} // namespace dynamo_labs::transfer
