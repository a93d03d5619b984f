#pragma once
#include "connection.h"
#include "handshake.h"
#include "peer_key.h"

namespace dynamo_labs::transfer {

/** The reader's part of the handshake on one connection: knows whom it wants to meet, and proves that it knows the token. The connection's thread. */
class ReaderHandshake {
public:
  ReaderHandshake(const Identity& self, const std::string& token, const PeerKey& peer, Channel channel) : self_(self), token_(token), peer_(peer), channel_(channel) {}
  /** Answers a frame, or closes the connection. True once, when the owner has let us in. */
  bool onFrame(Connection& connection, const FrameHeader& header, const std::vector<uint8_t>& payload);
  bool welcome() const { return welcome_; }

private:
  const Identity& self_;
  const std::string& token_;
  const PeerKey& peer_;
  const Channel channel_;
  bool welcome_ = false, challenged_ = false;
  Challenge challenge_;
  Hello hello_;
};

} // namespace dynamo_labs::transfer
