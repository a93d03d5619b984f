#include "status.h"

namespace dynamo_labs::transfer {

const char* name(Code code) {
  switch (code) {
  case Code::Ok: return "SUCCESS";
  case Code::InvalidParam: return "INVALID_PARAM";
  case Code::NotFound: return "NOT_FOUND";
  case Code::Mismatch: return "MISMATCH";
  case Code::Unauthorized: return "UNAUTHORIZED";
  case Code::Backend: return "BACKEND";
  case Code::RemoteDisconnect: return "REMOTE_DISCONNECT";
  case Code::Canceled: return "CANCELED";
  case Code::Expired: return "EXPIRED";
  case Code::EpochMismatch: return "EPOCH_MISMATCH";
  case Code::Checksum: return "CHECKSUM";
  case Code::Deadline: return "DEADLINE";
  case Code::Admission: return "ADMISSION";
  case Code::Protocol: return "PROTOCOL";
  case Code::NotSupported: return "NOT_SUPPORTED";
  case Code::Closed: return "CLOSED";
  }
  return "UNKNOWN";
}

const char* name(Phase phase) {
  switch (phase) {
  case Phase::Queued: return "queued";
  case Phase::Connect: return "connect";
  case Phase::Handshake: return "handshake";
  case Phase::Map: return "map";
  case Phase::Read: return "read";
  case Phase::Notify: return "notify";
  case Phase::Done: return "done";
  }
  return "unknown";
}

const char* name(TransportKind kind) {
  switch (kind) {
  case TransportKind::None: return "none";
  case TransportKind::Shm: return "shm";
  case TransportKind::Uds: return "uds";
  case TransportKind::Tcp: return "tcp";
  case TransportKind::Ucx: return "ucx";
  }
  return "unknown";
}

bool retryable(Code code) {
  return code == Code::RemoteDisconnect || code == Code::Checksum || code == Code::Deadline || code == Code::Admission || code == Code::Backend;
}

} // namespace dynamo_labs::transfer
