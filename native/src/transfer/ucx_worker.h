#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "byte_stream.h"
#include "socket.h"
#include "ucx_library.h"

namespace dynamo_labs::transfer {

/** One end of a UCX connection: what UCX's callbacks know, and what outlives its stream until UCX is done with it. */
struct UcxEndpoint {
  struct Slab {
    UcxEndpoint* endpoint = nullptr;
    std::vector<uint8_t> bytes;
    bool flying = false;
  };
  void* handle = nullptr;
  /** errno once it has failed. */
  int error = 0;
  /** Bytes that have arrived and not been taken; UCX's memory. */
  uint8_t* data = nullptr;
  size_t length = 0, at = 0;
  std::vector<std::unique_ptr<Slab>> slabs;
  uint32_t watched = 0;
  Pollable* target = nullptr;
  /** Set while it is being closed. */
  void* closing = nullptr;
};

/**
 * An agent's UCP worker: makes endpoints whose streams carry frames, and gives the IO thread their events. UCX chooses what moves the bytes (UCX_TLS,
 * UCX_NET_DEVICES); failures are asked to be reported, which leaves out UCX's own shared memory. Throws std::runtime_error. IO thread, or none yet.
 */
class UcxWorker : public PollSource {
public:
  using Accept = std::function<void(std::unique_ptr<ByteStream>)>;
  UcxWorker(Poller& poller, const UcxLibrary& library);
  ~UcxWorker() override;
  UcxWorker(const UcxWorker&) = delete;
  UcxWorker& operator=(const UcxWorker&) = delete;

  /** `bound` has the port. */
  void listen(const Address& address, Address& bound, Accept accept);
  /** Not connected yet; that it cannot be is told by its stream. Null where UCX refuses at once. */
  std::unique_ptr<ByteStream> connect(const Address& address);

  bool prepare() override;
  void service() override;

private:
  friend class UcxStream;
  struct Listening {
    UcxWorker& worker;
    Accept accept;
    void* handle = nullptr;
    sockaddr_storage bound{};
  };
  struct Arrived {
    Listening& at;
    void* request;
  };
  std::unique_ptr<ByteStream> makeStream(ucx::EpParams& params);
  void progress();
  /** Which of the watched events it has. */
  uint32_t ready(UcxEndpoint& endpoint);
  void fetch(UcxEndpoint& endpoint);
  void retire(UcxEndpoint& endpoint);
  void reap();

  Poller& poller_;
  const ucx::Functions& f_;
  void* context_ = nullptr;
  void* worker_ = nullptr;
  int event_fd_ = -1;
  struct Doorbell : Pollable {
    void onReady(uint32_t) override {} // service() runs after every round
  } doorbell_;
  std::vector<std::unique_ptr<Listening>> listeners_;
  std::vector<Arrived> arrived_;
  std::vector<std::unique_ptr<UcxEndpoint>> endpoints_;
};

} // namespace dynamo_labs::transfer
