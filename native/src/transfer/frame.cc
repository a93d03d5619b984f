#include "frame.h"

#include <cstring>

#include "chunk_hash.h"

namespace dynamo_labs::transfer {

namespace {

#pragma pack(push, 1)
struct Packed {
  uint32_t magic;
  uint8_t version, type;
  uint16_t flags;
  uint64_t transfer, aux;
  uint32_t sequence, length;
  uint64_t payload_hash;
  uint32_t reserved, check;
};
#pragma pack(pop)
static_assert(sizeof(Packed) == kHeaderBytes);

uint32_t checkOf(const Packed& packed) { return static_cast<uint32_t>(hashBytes(&packed, kHeaderBytes - 4)); }

} // namespace

const char* name(FrameError error) {
  switch (error) {
  case FrameError::None: return "none";
  case FrameError::Magic: return "not a frame of this protocol";
  case FrameError::Version: return "another wire version";
  case FrameError::Check: return "header checksum";
  case FrameError::Type: return "unknown frame type";
  case FrameError::Length: return "payload longer than its type allows";
  }
  return "unknown";
}

uint32_t maxPayload(FrameType type) {
  switch (type) {
  case FrameType::Challenge:
  case FrameType::Hello:
  case FrameType::Welcome:
  case FrameType::Refuse:
  case FrameType::Failed: return 1024;
  case FrameType::Map:
  case FrameType::Renew:
  case FrameType::NotifyAck: return 0;
  case FrameType::Mapped: return 64;
  case FrameType::Request: return 16 + 1024 * 12;
  case FrameType::Data: return 4 << 20;
  case FrameType::Notify: return 64 << 10;
  case FrameType::Push: return 32 << 20;
  case FrameType::PushDone: return 2048;
  }
  return 0;
}

void encodeHeader(const FrameHeader& header, uint8_t* out) {
  Packed packed{kMagic,          kWireVersion,  static_cast<uint8_t>(header.type), header.flags, header.transfer, header.aux,
                header.sequence, header.length, header.payload_hash,               0,            0};
  packed.check = checkOf(packed);
  std::memcpy(out, &packed, kHeaderBytes);
}

FrameError decodeHeader(const uint8_t* bytes, FrameHeader& header) {
  Packed packed;
  std::memcpy(&packed, bytes, kHeaderBytes);
  if (packed.magic != kMagic) return FrameError::Magic;
  if (packed.version != kWireVersion) return FrameError::Version;
  if (packed.check != checkOf(packed)) return FrameError::Check;
  if (packed.type == 0 || packed.type > kFrameTypes) return FrameError::Type;
  header = {static_cast<FrameType>(packed.type), packed.flags, packed.transfer, packed.aux, packed.sequence, packed.length, packed.payload_hash};
  if (header.length > maxPayload(header.type)) return FrameError::Length;
  return FrameError::None;
}

} // namespace dynamo_labs::transfer
