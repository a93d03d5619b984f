#include "handshake.h"

#include <random>

#include "byte_codec.h"

namespace dynamo_labs::transfer {

namespace {

constexpr size_t kMaxName = 128, kMaxFingerprint = 256, kMaxReason = 512;

void put(ByteWriter& out, const Identity& identity) { out.text(identity.name).put(identity.epoch).text(identity.fingerprint); }
Identity getIdentity(ByteReader& in) {
  Identity identity;
  identity.name = in.text(kMaxName);
  identity.epoch = in.get<uint64_t>();
  identity.fingerprint = in.text(kMaxFingerprint);
  return identity;
}

Digest proof(const char* role, const std::string& token, const Challenge& challenge, const Hello& hello) {
  ByteWriter out;
  out.text(role).raw(challenge.nonce.data(), challenge.nonce.size()).raw(hello.nonce.data(), hello.nonce.size());
  put(out, challenge.owner);
  put(out, hello.reader);
  out.put(hello.expected_epoch).put(static_cast<uint8_t>(hello.channel));
  const std::vector<uint8_t> bytes = out.take();
  return hmacSha256(token, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

} // namespace

std::vector<uint8_t> encode(const Challenge& message) {
  ByteWriter out;
  put(out, message.owner);
  return out.raw(message.nonce.data(), message.nonce.size()).take();
}
std::vector<uint8_t> encode(const Hello& message) {
  ByteWriter out;
  put(out, message.reader);
  out.put(message.expected_epoch).put(static_cast<uint8_t>(message.channel));
  return out.raw(message.nonce.data(), message.nonce.size()).raw(message.proof.data(), message.proof.size()).take();
}
std::vector<uint8_t> encode(const Welcome& message) { return ByteWriter().raw(message.proof.data(), message.proof.size()).take(); }
std::vector<uint8_t> encode(const Refusal& message) { return ByteWriter().put(static_cast<uint8_t>(message.code)).text(message.reason.substr(0, kMaxReason)).take(); }

std::optional<Challenge> decodeChallenge(const uint8_t* data, size_t bytes) {
  ByteReader in(data, bytes);
  Challenge message;
  message.owner = getIdentity(in);
  message.nonce = in.array<16>();
  return in.done() ? std::optional(message) : std::nullopt;
}
std::optional<Hello> decodeHello(const uint8_t* data, size_t bytes) {
  ByteReader in(data, bytes);
  Hello message;
  message.reader = getIdentity(in);
  message.expected_epoch = in.get<uint64_t>();
  const uint8_t channel = in.get<uint8_t>();
  message.channel = static_cast<Channel>(channel);
  message.nonce = in.array<16>();
  message.proof = in.array<32>();
  return in.done() && channel <= 1 ? std::optional(message) : std::nullopt;
}
std::optional<Welcome> decodeWelcome(const uint8_t* data, size_t bytes) {
  ByteReader in(data, bytes);
  const Welcome message{in.array<32>()};
  return in.done() ? std::optional(message) : std::nullopt;
}
std::optional<Refusal> decodeRefusal(const uint8_t* data, size_t bytes) {
  ByteReader in(data, bytes);
  const uint8_t code = in.get<uint8_t>();
  const Refusal message{static_cast<Code>(code), in.text(kMaxReason)};
  return in.done() && code > 0 && code < kCodes ? std::optional(message) : std::nullopt;
}

Digest helloProof(const std::string& token, const Challenge& challenge, const Hello& hello) { return proof("hello", token, challenge, hello); }
Digest welcomeProof(const std::string& token, const Challenge& challenge, const Hello& hello) { return proof("welcome", token, challenge, hello); }

Nonce randomNonce() {
  thread_local std::random_device random;
  Nonce nonce;
  for (size_t i = 0; i < nonce.size(); i += 4) {
    const uint32_t value = random();
    std::memcpy(nonce.data() + i, &value, 4);
  }
  return nonce;
}

} // namespace dynamo_labs::transfer
