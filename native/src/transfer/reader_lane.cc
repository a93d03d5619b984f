#include "reader_lane.h"

#include <algorithm>
#include <cstring>

#include "byte_codec.h"
#include "chunk_hash.h"
#include "monotonic.h"
#include "scatter_store.h"

namespace dynamo_labs::transfer {

using Fate = WantedChunks::Fate;

ReaderLane::ReaderLane(IoContext& io, IoLoop& loop, LaneOwner& owner, WantedChunks& wanted, const PeerKey& key, const Address& address, uint64_t share)
    : io_(io), loop_(loop), owner_(owner), wanted_(wanted), address_(address), share_(share), handshake_(io.identity, io.options.token, key, Channel::Data) {
  wanted_.open(this);
}

void ReaderLane::tell(std::function<void(LaneOwner&)> what) {
  io_.poller.post([this, kept = shared_from_this(), what = std::move(what)] { what(owner_); });
}

void ReaderLane::onAdopted() {
  int err = 0;
  std::unique_ptr<ByteStream> stream = over_ ? nullptr : io_.dial(address_, loop_.poller, err);
  if (stream) connection_ = std::make_unique<Connection>(std::move(stream), err == 0, *this, io_.faults.get(), FaultSide::Read);
  else tell([this, err](LaneOwner& owner) { owner.onLaneClosed(*this, {Code::RemoteDisconnect, Phase::Connect, err, std::strerror(err)}); });
}

void ReaderLane::go() {
  loop_.poller.post([kept = shared_from_this()] {
    kept->going_ = true;
    kept->pump();
  });
}

void ReaderLane::shut() {
  {
    const std::lock_guard lock(storing_);
    shut_ = true;
    wanted_.lost(this); // not later: what still arrives would be asked for again, of the same lane
  }
  loop_.poller.post([kept = shared_from_this()] {
    if (kept->connection_) kept->connection_->abandon();
    kept->going_ = false;
    kept->over_ = true;
    kept->owed_ = 0;
  });
}

int64_t ReaderLane::tick(int64_t now) {
  if (over_ || !connection_) return kNever;
  const int64_t due = connection_->tick(now);
  if (!starved_) return due;
  pump(); // other peers had the window; they do not say when there is room again
  return starved_ ? std::min(due, now + kMs) : due;
}

void ReaderLane::onClosed(Connection&, const Failure& why) {
  Failure seen = why;
  if (!handshake_.welcome() && seen.phase != Phase::Connect) seen.phase = Phase::Handshake;
  tell([this, seen](LaneOwner& owner) { owner.onLaneClosed(*this, seen); });
}

void ReaderLane::onFrame(Connection& connection, const FrameHeader& header, const std::vector<uint8_t>& payload, std::vector<UniqueFd>) {
  if (handshake_.welcome()) {
    if (header.type == FrameType::Failed) return onFailed(connection, header, payload);
    return connection.close({Code::Protocol, Phase::Read, 0, "a frame that owners do not send with bulk"});
  }
  if (handshake_.onFrame(connection, header, payload)) tell([this](LaneOwner& owner) { owner.onLaneWelcome(*this); });
}

void ReaderLane::pump() {
  if (!going_ || !connection_ || !connection_->open()) return;
  // Asks in batches of a quarter of its share: the owner wakes up once for several chunks.
  if (owed_ > share_ / 4 * 3) return;
  bool others_full = false;
  connection_->hold();
  while (owed_ < share_) {
    const auto ask = wanted_.next(this, others_full);
    if (!ask) break;
    request(*ask);
  }
  connection_->flush();
  const bool full = others_full || owed_ >= share_;
  if (full && !stalled_) io_.metrics.credit_stalls++;
  stalled_ = full;
  starved_ = others_full && owed_ == 0;
}

void ReaderLane::request(const WantedChunks::Ask& ask) {
  const Transfer& transfer = *ask.transfer;
  FrameHeader header;
  header.type = FrameType::Request;
  header.flags = transfer.spec.verify ? 0 : kUnverified;
  header.transfer = transfer.id;
  header.aux = transfer.spec.grant.id;
  header.sequence = ask.chunk;
  ByteWriter out;
  out.put(transfer.spec.grant.pool);
  for (const Piece* piece = transfer.plan.begin(ask.chunk); piece != transfer.plan.end(ask.chunk); piece++) out.put(piece->remote).put(static_cast<uint32_t>(piece->length));
  owed_ += ask.bytes;
  connection_->send(header, out.take());
}

WantedChunks::Fate ReaderLane::store(Transfer& transfer, const FrameHeader& header, const uint8_t* payload, bool& last_out) {
  const bool hashed = (header.flags & kUnverified) == 0;
  if (transfer.spec.verify && !hashed) return Fate::Wrong; // asked to be verified: an owner cannot decide otherwise
  const std::lock_guard lock(storing_);
  if (shut_ || !transfer.enter()) return Fate::Unwanted;
  uint8_t* const to = transfer.spec.local->data();
  const Piece *const begin = transfer.plan.begin(header.sequence), *const end = transfer.plan.end(header.sequence);
  bool intact = true;
  {
    ScatterStore places(to, payload, begin, end);
    if (hashed) intact = hashAndStore(payload, header.length, places) == header.payload_hash;
    else places.put(header.length);
  }
  if (!intact) wipe(to, begin, end);
  last_out = transfer.leave() == Transfer::Left::Settle;
  return intact ? Fate::Right : Fate::Wrong;
}

void ReaderLane::onData(Connection& connection, const FrameHeader& header, const uint8_t* payload) {
  if (!handshake_.welcome()) return connection.close({Code::Protocol, Phase::Handshake, 0, "bulk before the handshake"});
  const std::shared_ptr<Transfer> transfer = wanted_.expected(this, header.transfer, header.sequence);
  Fate fate = Fate::Unwanted;
  bool last_out = false;
  if (transfer) {
    if (header.length != transfer->plan.chunkBytes(header.sequence)) return connection.close({Code::Protocol, Phase::Read, 0, "a chunk of another length than asked for"});
    fate = store(*transfer, header, payload, last_out);
    if (last_out) io_.settle(transfer);
  }
  const WantedChunks::Arrival arrival = wanted_.arrived(this, header.transfer, header.sequence, fate);
  owed_ -= std::min<uint64_t>(owed_, arrival.bytes);
  if (arrival.effect == WantedChunks::Effect::Complete) settle(arrival.transfer, {});
  if (arrival.effect >= WantedChunks::Effect::Wrong) arrival.transfer->timeline.add("checksum", std::to_string(header.sequence));
  if (arrival.effect == WantedChunks::Effect::WrongTooOften) settle(arrival.transfer, {Code::Checksum, Phase::Read, 0, "too many chunks did not match their checksum"});
  pump();
}

void ReaderLane::onFailed(Connection& connection, const FrameHeader& header, const std::vector<uint8_t>& payload) {
  const auto refusal = decodeRefusal(payload.data(), payload.size());
  if (!refusal) return connection.close({Code::Protocol, Phase::Read, 0, "not a Failed"});
  const WantedChunks::Arrival arrival = wanted_.arrived(this, header.transfer, header.sequence, Fate::Refused);
  owed_ -= std::min<uint64_t>(owed_, arrival.bytes);
  if (arrival.transfer) settle(arrival.transfer, {refusal->code, static_cast<Phase>(arrival.transfer->phase.load()), 0, refusal->reason});
  pump();
}

void ReaderLane::settle(const std::shared_ptr<Transfer>& transfer, Failure why) {
  if (transfer->stop(std::move(why))) io_.settle(transfer);
}

} // namespace dynamo_labs::transfer
