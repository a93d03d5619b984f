#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sha256.h"
#include "status.h"

namespace dynamo_labs::transfer {

using Nonce = std::array<uint8_t, 16>;
enum class Channel : uint8_t { Control = 0, Data = 1 };

/** Who an agent is. The epoch is random per process: an agent that was restarted is another agent. */
struct Identity {
  std::string name;
  uint64_t epoch = 0;
  /** What both sides must share for the bytes to mean the same: model, dtype, layers, heads, block size, layout. */
  std::string fingerprint;
};

struct Challenge {
  Identity owner;
  Nonce nonce{};
};
struct Hello {
  Identity reader;
  /** The owner's epoch in the reader's grant; 0 = whichever it is. */
  uint64_t expected_epoch = 0;
  Channel channel = Channel::Control;
  Nonce nonce{};
  Digest proof{};
};
struct Welcome {
  Digest proof{};
};
struct Refusal {
  Code code = Code::Protocol;
  std::string reason;
};

std::vector<uint8_t> encode(const Challenge& message);
std::vector<uint8_t> encode(const Hello& message);
std::vector<uint8_t> encode(const Welcome& message);
std::vector<uint8_t> encode(const Refusal& message);
/** Nothing where the bytes are not exactly such a message. */
std::optional<Challenge> decodeChallenge(const uint8_t* data, size_t bytes);
std::optional<Hello> decodeHello(const uint8_t* data, size_t bytes);
std::optional<Welcome> decodeWelcome(const uint8_t* data, size_t bytes);
std::optional<Refusal> decodeRefusal(const uint8_t* data, size_t bytes);

/** Bound to both nonces, so that neither side's proof can be replayed on another connection. */
Digest helloProof(const std::string& token, const Challenge& challenge, const Hello& hello);
Digest welcomeProof(const std::string& token, const Challenge& challenge, const Hello& hello);
Nonce randomNonce();

} // namespace dynamo_labs::transfer
