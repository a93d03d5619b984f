#include "metadata.h"

#include "byte_codec.h"

namespace dynamo_labs::transfer {

namespace {
constexpr uint32_t kMetadataMagic = 0x314d4c44; // "DLM1"
constexpr uint16_t kMaxAddresses = 16, kMaxPools = 1024;
} // namespace

std::vector<uint8_t> encode(const Metadata& metadata) {
  ByteWriter out;
  out.put(kMetadataMagic).text(metadata.identity.name).put(metadata.identity.epoch).text(metadata.identity.fingerprint);
  out.put(static_cast<uint16_t>(metadata.addresses.size()));
  for (const std::string& address : metadata.addresses) out.text(address);
  out.put(static_cast<uint16_t>(metadata.pools.size()));
  for (const PoolInfo& pool : metadata.pools) out.put(pool.id).put(pool.bytes).put(pool.block_bytes);
  return out.take();
}

std::optional<Metadata> decodeMetadata(const uint8_t* data, size_t bytes) {
  ByteReader in(data, bytes);
  if (in.get<uint32_t>() != kMetadataMagic) return std::nullopt;
  Metadata metadata;
  metadata.identity.name = in.text(128);
  metadata.identity.epoch = in.get<uint64_t>();
  metadata.identity.fingerprint = in.text(256);
  const uint16_t addresses = in.get<uint16_t>();
  if (!in.ok() || addresses > kMaxAddresses) return std::nullopt;
  for (uint16_t i = 0; i < addresses; i++) metadata.addresses.push_back(in.text(256));
  const uint16_t pools = in.get<uint16_t>();
  if (!in.ok() || pools > kMaxPools) return std::nullopt;
  for (uint16_t i = 0; i < pools; i++) {
    PoolInfo pool;
    pool.id = in.get<uint32_t>();
    pool.bytes = in.get<uint64_t>();
    pool.block_bytes = in.get<uint64_t>();
    metadata.pools.push_back(pool);
  }
  return in.done() ? std::optional(metadata) : std::nullopt;
}

} // namespace dynamo_labs::transfer
