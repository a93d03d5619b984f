#pragma once
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <vector>

#include "byte_stream.h"
#include "fault_plan.h"
#include "frame.h"
#include "staging_buffer.h"
#include "status.h"
#include "unique_fd.h"

namespace dynamo_labs::transfer {

class Connection;

/** The one who speaks the protocol over a connection. All calls come on the thread where the connection lives. */
class ConnectionHandler {
public:
  virtual ~ConnectionHandler() = default;
  virtual void onConnected(Connection&) {}
  /** A whole frame; its payload hash was right. */
  virtual void onFrame(Connection& connection, const FrameHeader& header, const std::vector<uint8_t>& payload, std::vector<UniqueFd> fds) = 0;
  /** A whole chunk, which lies here until this returns. Its hash is the handler's to compare. */
  virtual void onData(Connection&, const FrameHeader&, const uint8_t* /*payload*/) {}
  /** Everything queued has been written: queue more if there is any. */
  virtual void onDrained(Connection&) {}
  /** The fault `expire` is due: every grant ends now. */
  virtual void onExpireFault() {}
  virtual void onClosed(Connection& connection, const Failure& why) = 0;
};

/** A stream that carries frames. Owned by its handler; must not be deleted inside a callback (see `IoContext::bury`). One thread at a time. */
class Connection : public Pollable {
public:
  Connection(std::unique_ptr<ByteStream> stream, bool connected, ConnectionHandler& handler, FaultPlan* faults, FaultSide side);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void send(FrameHeader header, std::vector<uint8_t> payload = {}, std::vector<int> fds = {});
  /** Frames of `send` are kept together from here to `flush`. */
  void hold() { held_ = true; }
  void flush();
  /** `pieces` must stay valid while `keep` lives; `header.payload_hash` is the caller's. */
  void sendPieces(const FrameHeader& header, std::vector<iovec> pieces, std::shared_ptr<const void> keep);
  void close(const Failure& why);
  /** Ends without telling the handler. */
  void abandon();
  /** Resumes after a fault's pause; returns when to be called again. */
  int64_t tick(int64_t now);
  bool open() const { return stream_ != nullptr; }
  bool movable() const { return stream_ && stream_->movable(); }
  /** Leaves this thread for another poller's, where `arrive` is called. */
  void leaveFor(Poller& poller) { stream_->moveTo(poller); }
  void arrive();
  /** There is something to send: onDrained will be called when the stream takes it. */
  void wantDrain();
  bool idle() const { return out_.empty(); }
  void onReady(uint32_t events) override;

private:
  struct Out {
    std::array<uint8_t, kHeaderBytes> header;
    std::vector<uint8_t> payload;
    std::vector<iovec> pieces;
    std::shared_ptr<const void> keep;
    std::vector<int> fds;
    size_t sent = 0, total = 0;
    bool is_data = false;
  };
  void readSome();
  bool consume(size_t bytes);
  /** Takes what was read into another place than its own; false once closed. */
  bool feed(const uint8_t* bytes, size_t count);
  bool headerComplete();
  bool payloadComplete();
  void writeSome(bool may_close);
  /** What to write next, of as many frames as fit. */
  size_t gather(iovec* pieces);
  void wrote(size_t bytes);
  void watch();
  /** How many of these bytes may move before the next fault. */
  size_t faultLimit(size_t bytes);
  void faultMoved(size_t bytes) { fault_allowance_ -= std::min(fault_allowance_, bytes); }
  bool faultDue() const { return due_ && fault_allowance_ == 0; }
  void carryOut();

  std::unique_ptr<ByteStream> stream_;
  ConnectionHandler& handler_;
  FaultPlan* faults_;
  FaultSide side_;
  bool connecting_, writes_ended_ = false, want_drain_ = false, held_ = false;
  uint32_t watched_ = 0;
  const FaultSpec* due_ = nullptr;
  size_t fault_allowance_ = 0; // payload bytes that may still move before `due_`
  int64_t paused_until_ = 0;

  std::array<uint8_t, kHeaderBytes> header_bytes_;
  size_t header_got_ = 0;
  FrameHeader header_;
  bool in_payload_ = false, is_data_ = false;
  std::vector<uint8_t> payload_;
  StagingBuffer chunk_;
  size_t payload_got_ = 0;
  std::vector<UniqueFd> fds_;
  std::deque<Out> out_;
};

} // namespace dynamo_labs::transfer
