#include "ucx_worker.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

#include "end_connections.h"
#include "monotonic.h"
#include "ucx_stream.h"

namespace dynamo_labs::transfer {

namespace {

constexpr int kProgressAtOnce = 256;
/** For so long most peers that lost their connections dial again; and how long UCX may take to close what it has accepted. */
constexpr int64_t kRedialsNs = 20 * kMs, kLastOnesNs = 1000 * kMs;

int errnoOf(ucx::Status status) {
  switch (status) {
  case ucx::kUnreachable:
  case ucx::kRejected:
  case ucx::kNotConnected: return ECONNREFUSED;
  case ucx::kEndpointTimeout: return ETIMEDOUT;
  default: return ECONNRESET;
  }
}

void onError(void* endpoint, void*, ucx::Status status) { static_cast<UcxEndpoint*>(endpoint)->error = errnoOf(status); }

[[noreturn]] void fail(const char* call, ucx::Status status) { throw std::runtime_error(std::string(call) + ": UCX status " + std::to_string(status)); }

} // namespace

UcxWorker::UcxWorker(Poller& poller, const UcxLibrary& library) : poller_(poller), f_(*library.functions) {
  ucx::Params params;
  params.field_mask = ucx::kFieldFeatures;
  params.features = ucx::kFeatureStream | ucx::kFeatureWakeup;
  ucx::Status status = f_.init_version(1, 11, &params, nullptr, &context_);
  if (status != ucx::kOk) fail("ucp_init", status);
  ucx::WorkerParams worker;
  worker.field_mask = ucx::kWorkerFieldThreadMode;
  worker.thread_mode = ucx::kThreadSerialized;
  status = f_.worker_create(context_, &worker, &worker_);
  if (status == ucx::kOk && (status = f_.worker_get_efd(worker_, &event_fd_)) != ucx::kOk) f_.worker_destroy(worker_);
  if (status != ucx::kOk) {
    f_.cleanup(context_);
    fail("ucp_worker_create", status);
  }
  poller_.add(event_fd_, EPOLLIN, &doorbell_);
  poller_.setSource(this);
}

UcxWorker::~UcxWorker() {
  poller_.setSource(nullptr);
  poller_.remove(event_fd_, &doorbell_);
  const auto turn = [this] {
    f_.worker_progress(worker_);
    reap();
    for (const Arrived& arrived : std::exchange(arrived_, {})) f_.listener_reject(arrived.at.handle, arrived.request);
    std::this_thread::sleep_for(std::chrono::microseconds(100)); // UCX's own thread needs its lock, and a processor
  };
  for (const int64_t end = nowNs() + 200 * kMs; !endpoints_.empty() && nowNs() < end;) turn();
  // Who lost us dials again at once, and is turned away here.
  for (const int64_t end = nowNs() + kRedialsNs; !listeners_.empty() && nowNs() < end;) turn();
  // UCX (up to 1.23, at least) would announce to a listener that is no more whom it has accepted and not yet heard. Better a leak than a crash.
  for (const auto& listening : listeners_)
    if (!endConnections(listening->bound, kLastOnesNs, turn)) return;
  for (const auto& listening : listeners_) f_.listener_destroy(listening->handle);
  f_.worker_destroy(worker_); // what is left ends here
  f_.cleanup(context_);
}

void UcxWorker::listen(const Address& address, Address& bound, Accept accept) {
  RawAddress raw;
  if (!toRaw(address, raw)) throw std::runtime_error("not an address");
  auto listening = std::make_unique<Listening>(Listening{*this, std::move(accept)});
  ucx::ListenerParams params;
  params.field_mask = ucx::kListenerFieldSockAddr | ucx::kListenerFieldConnHandler;
  params.address = {reinterpret_cast<const sockaddr*>(&raw.storage), raw.length};
  params.on_connection = [](void* request, void* argument) {
    auto& at = *static_cast<Listening*>(argument);
    at.worker.arrived_.push_back({at, request}); // an endpoint is made outside UCX's callback
  };
  params.on_connection_argument = listening.get();
  ucx::Status status = f_.listener_create(worker_, &params, &listening->handle);
  if (status != ucx::kOk) fail("ucp_listener_create", status);
  listeners_.push_back(std::move(listening));
  ucx::ListenerAttr attributes;
  attributes.field_mask = ucx::kListenerAttrSockAddr;
  status = f_.listener_query(listeners_.back()->handle, &attributes);
  if (status != ucx::kOk) fail("ucp_listener_query", status);
  bound = address;
  bound.port = portOf(attributes.address);
  listeners_.back()->bound = attributes.address;
}

std::unique_ptr<ByteStream> UcxWorker::connect(const Address& address) {
  RawAddress raw;
  if (!toRaw(address, raw)) return nullptr;
  ucx::EpParams params;
  params.field_mask = ucx::kEpFieldFlags | ucx::kEpFieldSockAddr;
  params.flags = ucx::kEpClientServer | ucx::kEpNoLoopback;
  params.address = {reinterpret_cast<const sockaddr*>(&raw.storage), raw.length};
  return makeStream(params);
}

std::unique_ptr<ByteStream> UcxWorker::makeStream(ucx::EpParams& params) {
  auto endpoint = std::make_unique<UcxEndpoint>();
  params.field_mask |= ucx::kEpFieldErrMode | ucx::kEpFieldErrHandler;
  params.err_mode = ucx::kErrModePeer;
  params.on_error = onError;
  params.on_error_argument = endpoint.get();
  if (f_.ep_create(worker_, &params, &endpoint->handle) != ucx::kOk) return nullptr;
  endpoints_.push_back(std::move(endpoint));
  return std::make_unique<UcxStream>(*this, *endpoints_.back());
}

void UcxWorker::fetch(UcxEndpoint& endpoint) {
  if (endpoint.data) f_.stream_data_release(endpoint.handle, endpoint.data);
  endpoint.data = nullptr;
  endpoint.length = endpoint.at = 0;
  const ucx::StatusPtr got = f_.stream_recv_data_nb(endpoint.handle, &endpoint.length);
  if (got && !ucx::isError(got)) {
    endpoint.data = static_cast<uint8_t*>(got);
    return;
  }
  endpoint.length = 0;
  if (got && !endpoint.error) endpoint.error = errnoOf(ucx::statusOf(got));
}

uint32_t UcxWorker::ready(UcxEndpoint& endpoint) {
  if (endpoint.watched == 0 || !endpoint.target || endpoint.closing) return 0;
  uint32_t events = 0;
  if ((endpoint.watched & EPOLLIN) && endpoint.at == endpoint.length) fetch(endpoint);
  if (endpoint.at < endpoint.length) events |= EPOLLIN;
  if (UcxStream::hasRoom(endpoint)) events |= EPOLLOUT;
  events &= endpoint.watched;
  return endpoint.error ? events | EPOLLERR : events;
}

void UcxWorker::retire(UcxEndpoint& endpoint) {
  endpoint.target = nullptr;
  if (endpoint.data) f_.stream_data_release(endpoint.handle, endpoint.data);
  endpoint.data = nullptr;
  ucx::RequestParam param;
  param.op_attr_mask = ucx::kOpFieldFlags;
  param.flags = ucx::kEpCloseForce;
  const ucx::StatusPtr status = f_.ep_close_nbx(endpoint.handle, &param);
  endpoint.handle = nullptr;
  endpoint.closing = status && !ucx::isError(status) ? status : this; // `this`: nothing to wait for
}

void UcxWorker::reap() {
  std::erase_if(endpoints_, [this](const auto& endpoint) {
    if (!endpoint->closing) return false;
    if (endpoint->closing != this) {
      if (f_.request_check_status(endpoint->closing) == 1) return false; // under way
      f_.request_free(endpoint->closing);
      endpoint->closing = this;
    }
    return std::none_of(endpoint->slabs.begin(), endpoint->slabs.end(), [](const auto& slab) { return slab->flying; });
  });
}

void UcxWorker::progress() {
  for (int i = 0; i < kProgressAtOnce && f_.worker_progress(worker_) > 0; i++) {
  }
  reap();
}

bool UcxWorker::prepare() {
  progress();
  if (!arrived_.empty()) return true;
  for (const auto& endpoint : endpoints_)
    if (ready(*endpoint) != 0) return true;
  return f_.worker_arm(worker_) != ucx::kOk;
}

void UcxWorker::service() {
  progress();
  for (const Arrived& arrived : std::exchange(arrived_, {})) {
    ucx::EpParams params;
    params.field_mask = ucx::kEpFieldConnRequest | ucx::kEpFieldFlags;
    params.flags = ucx::kEpNoLoopback;
    params.connection_request = arrived.request;
    if (auto stream = makeStream(params)) arrived.at.accept(std::move(stream));
  }
  // What is called may end streams and begin new ones; endpoints themselves are freed by reap() alone.
  for (size_t i = 0; i < endpoints_.size(); i++) {
    UcxEndpoint& endpoint = *endpoints_[i];
    const uint32_t events = ready(endpoint);
    if (events != 0) endpoint.target->onReady(events);
  }
}

} // namespace dynamo_labs::transfer
