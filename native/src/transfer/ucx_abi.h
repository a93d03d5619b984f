#pragma once
// The part of UCP's binary interface that the UCX transport calls, so that neither building nor running this project needs UCX. Structures carry a
// mask of valid fields and only ever grow at their end, so these prefixes hold for every libucp.so.0 from 1.11 on; `transfer_ucx_abi_test.cc`
// compares them with the headers where those are installed. From ucp/api/ucp.h and ucp_def.h, UCX 1.13 (BSD-3-Clause, Copyright (c) NVIDIA and others).
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>

namespace dynamo_labs::transfer::ucx {

using Status = int8_t; // ucs_status_t is packed to one byte
/** 0, a status below 0 cast to a pointer, or a request. */
using StatusPtr = void*;

constexpr Status kOk = 0, kUnreachable = -6, kBusy = -15, kCanceled = -16, kRejected = -23, kNotConnected = -24, kConnectionReset = -25, kEndpointTimeout = -80;
inline bool isError(StatusPtr value) { return reinterpret_cast<uintptr_t>(value) >= static_cast<uintptr_t>(-100); }
inline Status statusOf(StatusPtr value) { return static_cast<Status>(reinterpret_cast<intptr_t>(value)); }

constexpr uint64_t kFieldFeatures = 1 << 0, kFeatureWakeup = 1 << 4, kFeatureStream = 1 << 5;
struct Params {
  uint64_t field_mask = 0, features = 0;
  uint8_t later[496] = {};
};

constexpr uint64_t kWorkerFieldThreadMode = 1 << 0;
constexpr int kThreadSerialized = 1;
struct WorkerParams {
  uint64_t field_mask = 0;
  int thread_mode = 0;
  uint8_t later[500] = {};
};

struct SockAddr {
  const sockaddr* address = nullptr;
  socklen_t length = 0;
};

constexpr uint64_t kListenerFieldSockAddr = 1 << 0, kListenerFieldConnHandler = 1 << 2, kListenerAttrSockAddr = 1 << 0;
struct ListenerParams {
  uint64_t field_mask = 0;
  SockAddr address;
  void* accept[2] = {};
  void (*on_connection)(void* request, void* argument) = nullptr;
  void* on_connection_argument = nullptr;
  uint8_t later[448] = {};
};
struct ListenerAttr {
  uint64_t field_mask = 0;
  sockaddr_storage address{};
  uint8_t later[256] = {};
};

constexpr uint64_t kEpFieldErrMode = 1 << 1, kEpFieldErrHandler = 1 << 2, kEpFieldSockAddr = 1 << 4, kEpFieldFlags = 1 << 5, kEpFieldConnRequest = 1 << 6;
constexpr unsigned kEpClientServer = 1 << 0, kEpNoLoopback = 1 << 1;
constexpr int kErrModePeer = 1;
struct EpParams {
  uint64_t field_mask = 0;
  const void* remote_address = nullptr;
  int err_mode = 0;
  void (*on_error)(void* argument, void* ep, Status status) = nullptr;
  void* on_error_argument = nullptr;
  void* user_data = nullptr;
  unsigned flags = 0;
  SockAddr address;
  void* connection_request = nullptr;
  uint8_t later[432] = {};
};

constexpr uint32_t kOpFieldCallback = 1 << 1, kOpFieldUserData = 1 << 2, kOpFieldFlags = 1 << 4;
constexpr uint32_t kEpCloseForce = 1 << 0;
struct RequestParam {
  uint32_t op_attr_mask = 0, flags = 0;
  void* request = nullptr;
  void (*on_sent)(void* request, Status status, void* user_data) = nullptr;
  uint64_t datatype = 0;
  void* user_data = nullptr;
  uint8_t later[216] = {};
};

/** The functions, found by name. */
struct Functions {
  void (*get_version)(unsigned* major, unsigned* minor, unsigned* release);
  const char* (*get_version_string)();
  Status (*init_version)(unsigned major, unsigned minor, const Params*, const void* config, void** context);
  void (*cleanup)(void* context);
  Status (*worker_create)(void* context, const WorkerParams*, void** worker);
  void (*worker_destroy)(void* worker);
  unsigned (*worker_progress)(void* worker);
  Status (*worker_get_efd)(void* worker, int* fd);
  Status (*worker_arm)(void* worker);
  Status (*listener_create)(void* worker, const ListenerParams*, void** listener);
  Status (*listener_query)(void* listener, ListenerAttr*);
  void (*listener_destroy)(void* listener);
  Status (*listener_reject)(void* listener, void* request);
  Status (*ep_create)(void* worker, const EpParams*, void** ep);
  StatusPtr (*ep_close_nbx)(void* ep, const RequestParam*);
  StatusPtr (*stream_send_nbx)(void* ep, const void* buffer, size_t count, const RequestParam*);
  StatusPtr (*stream_recv_data_nb)(void* ep, size_t* length);
  void (*stream_data_release)(void* ep, void* data);
  Status (*request_check_status)(void* request);
  void (*request_free)(void* request);
};

} // namespace dynamo_labs::transfer::ucx
