#include "reader_handshake.h"

namespace dynamo_labs::transfer {

bool ReaderHandshake::onFrame(Connection& connection, const FrameHeader& header, const std::vector<uint8_t>& payload) {
  const auto end = [&](Code code, const std::string& why) {
    connection.close({code, Phase::Handshake, 0, why});
    return false;
  };
  if (header.type == FrameType::Refuse) {
    const auto refusal = decodeRefusal(payload.data(), payload.size());
    return refusal ? end(refusal->code, "refused: " + refusal->reason) : end(Code::Protocol, "not a Refuse");
  }
  if (header.type == FrameType::Challenge && !challenged_) {
    const auto challenge = decodeChallenge(payload.data(), payload.size());
    if (!challenge) return end(Code::Protocol, "not a Challenge");
    challenge_ = *challenge;
    challenged_ = true;
    if (challenge->owner.name != peer_.name) return end(Code::Mismatch, "another agent answers at this address: " + challenge->owner.name);
    if (peer_.epoch != 0 && challenge->owner.epoch != peer_.epoch) return end(Code::EpochMismatch, "the owner is another process than the one that granted");
    if (challenge->owner.fingerprint != self_.fingerprint) return end(Code::Mismatch, "the owner's fingerprint is '" + challenge->owner.fingerprint + "'");
    hello_ = {self_, peer_.epoch, channel_, randomNonce(), {}};
    hello_.proof = helloProof(token_, challenge_, hello_);
    FrameHeader answer;
    answer.type = FrameType::Hello;
    connection.send(answer, encode(hello_));
    return false;
  }
  if (header.type != FrameType::Welcome || !challenged_) return end(Code::Protocol, "not a handshake");
  const auto welcome = decodeWelcome(payload.data(), payload.size());
  if (!welcome || !sameDigest(welcome->proof, welcomeProof(token_, challenge_, hello_))) return end(Code::Unauthorized, "the owner does not know the token");
  welcome_ = true;
  return true;
}

} // namespace dynamo_labs::transfer
