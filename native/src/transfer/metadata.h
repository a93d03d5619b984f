#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "handshake.h"

namespace dynamo_labs::transfer {

struct PoolInfo {
  uint32_t id = 0;
  uint64_t bytes = 0;
  uint64_t block_bytes = 0;
};

/** What NIXL calls the agent's metadata: enough to reach it, nothing that proves anything. */
struct Metadata {
  Identity identity;
  /** `unix:/path`, `tcp:127.0.0.1:port`, `tcp:[::1]:port`. */
  std::vector<std::string> addresses;
  std::vector<PoolInfo> pools;
};

std::vector<uint8_t> encode(const Metadata& metadata);
std::optional<Metadata> decodeMetadata(const uint8_t* data, size_t bytes);

} // namespace dynamo_labs::transfer
