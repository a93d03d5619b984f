#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace dynamo_labs::transfer {

using Digest = std::array<uint8_t, 32>;

/** FIPS 180-4. */
Digest sha256(std::string_view data);
/** RFC 2104 over SHA-256. */
Digest hmacSha256(std::string_view key, std::string_view data);
/** In time that does not depend on the content. */
bool sameDigest(const Digest& a, const Digest& b);

} // namespace dynamo_labs::transfer
