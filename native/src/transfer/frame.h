#pragma once
#include <cstddef>
#include <cstdint>

namespace dynamo_labs::transfer {

/**
 * 48 bytes, little-endian, in front of every frame:
 * magic u32 · version u8 · type u8 · flags u16 · transfer u64 · aux u64 · sequence u32 · length u32 · payload hash u64 · reserved u32 · header check u32.
 * The check is the low half of XXH3-64 over the 44 bytes before it; the payload hash is XXH3-64 of the payload, or 0 with kUnverified.
 */
constexpr size_t kHeaderBytes = 48;
constexpr uint32_t kMagic = 0x31544c44; // "DLT1"
constexpr uint8_t kWireVersion = 1;
constexpr uint16_t kUnverified = 1;

enum class FrameType : uint8_t {
  Challenge = 1,  // owner → reader, first on a connection: who I am, a nonce
  Hello = 2,      // reader → owner: who I am, proof that I know the token
  Welcome = 3,    // owner → reader: proof that I know it too
  Refuse = 4,     // owner → reader: code and reason; the connection ends
  Map = 5,        // reader → owner: the descriptors of pool `aux`, please
  Mapped = 6,     // owner → reader: two file descriptors travel with it
  Request = 7,    // reader → owner: chunk `sequence` of `transfer` under grant `aux`
  Data = 8,       // owner → reader: the chunk
  Failed = 9,     // owner → reader: why there is no chunk (`transfer`, `sequence`)
  Renew = 10,     // reader → owner: grant `aux` is still wanted
  Notify = 11,    // reader → owner: notification `sequence`; grant `aux` (0 = none) has been read
  NotifyAck = 12, // the answer to it
  Push = 13,      // writer → target: read this from me into your granted memory
  PushDone = 14,  // target → writer: how that went
};
constexpr uint8_t kFrameTypes = 14;

struct FrameHeader {
  FrameType type = FrameType::Challenge;
  uint16_t flags = 0;
  uint64_t transfer = 0;
  uint64_t aux = 0;
  uint32_t sequence = 0;
  uint32_t length = 0;
  uint64_t payload_hash = 0;
};

enum class FrameError : uint8_t { None, Magic, Version, Check, Type, Length };
const char* name(FrameError error);

/** The longest payload that a frame of this type may announce; nothing is allocated beyond it. */
uint32_t maxPayload(FrameType type);
void encodeHeader(const FrameHeader& header, uint8_t* out);
FrameError decodeHeader(const uint8_t* bytes, FrameHeader& header);

} // namespace dynamo_labs::transfer
