#pragma once
#include <cstdint>
#include <string>

namespace dynamo_labs::transfer {

/** NIXL's status names where they exist, and what NIXL cannot say: EXPIRED, EPOCH_MISMATCH, CHECKSUM, DEADLINE, ADMISSION, PROTOCOL, UNAUTHORIZED. */
enum class Code : uint8_t {
  Ok = 0,
  InvalidParam = 1,
  NotFound = 2,
  Mismatch = 3,
  Unauthorized = 4,
  Backend = 5,
  RemoteDisconnect = 6,
  Canceled = 7,
  Expired = 8,
  EpochMismatch = 9,
  Checksum = 10,
  Deadline = 11,
  Admission = 12,
  Protocol = 13,
  NotSupported = 14,
  Closed = 15,
};
constexpr uint8_t kCodes = 16;
const char* name(Code code);

enum class Phase : uint8_t { Queued, Connect, Handshake, Map, Read, Notify, Done };
const char* name(Phase phase);

enum class TransportKind : uint8_t { None, Shm, Uds, Tcp, Ucx };
const char* name(TransportKind kind);

/** Why something ended. `err` is the errno behind it, 0 where there is none. */
struct Failure {
  Code code = Code::Ok;
  Phase phase = Phase::Queued;
  int err = 0;
  std::string message;
  bool ok() const { return code == Code::Ok; }
};

/** Whether the same read, tried again later with the same grant, may succeed. */
bool retryable(Code code);

} // namespace dynamo_labs::transfer
