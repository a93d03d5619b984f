#pragma once
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <unordered_map>

#include "io_context.h"
#include "shm_copy.h"
#include "socket.h"

namespace dynamo_labs::transfer {

struct PeerKey {
  std::string name;
  uint64_t epoch = 0;
  TransportKind kind = TransportKind::None;
  std::string address;
  auto operator<=>(const PeerKey&) const = default;
};

/**
 * The reader's end towards one peer over one transport: a control connection and, for sockets, a data connection of its own, so that heartbeats and
 * notifications never wait behind bulk. Requests chunks of all its transfers in turn while the window lasts; reconnects. IO thread only.
 */
class PeerLink : public ConnectionHandler {
public:
  PeerLink(IoContext& io, PeerKey key, Address address);
  void add(std::shared_ptr<Transfer> transfer);
  /** Takes it off, whatever its state; its memory is not written any more when this returns. */
  void drop(const std::shared_ptr<Transfer>& transfer);
  /** After the data; delivered once, sent until it is acknowledged. */
  void notify(const std::string& payload, uint64_t released_grant);
  void push(std::shared_ptr<Transfer> transfer, std::vector<uint8_t> order);
  /** The copy workers found the owner out of reach. */
  void lost(const std::shared_ptr<Transfer>& transfer);
  int64_t tick(int64_t now);
  void pump();
  void close();
  /** For reads on other threads: the mapped pool, if there is one. */
  std::function<void(uint32_t pool, const ShmSource&)> on_mapped;
  const PeerKey& key() const { return key_; }
  bool awaitsBulk() const { return outstanding_bytes_ > 0; }

  void onFrame(Connection&, const FrameHeader& header, const std::vector<uint8_t>& payload, std::vector<UniqueFd> fds) override;
  bool onDataTarget(Connection&, const FrameHeader& header, std::vector<iovec>& target) override;
  void onData(Connection&, const FrameHeader& header, bool intact, bool discarded) override;
  void onDrained(Connection&) override {}
  void onClosed(Connection&, const Failure& why) override;

private:
  enum class State : uint8_t { Idle, Connecting, Ready, Waiting };
  struct Wire {
    std::unique_ptr<Connection> connection;
    bool welcome = false, challenged = false;
    Challenge challenge;
    Hello hello;
  };
  struct Notice {
    std::string payload;
    uint64_t grant;
    int64_t resend_at;
    uint32_t tries = 0;
  };
  using Transfers = std::unordered_map<uint64_t, std::shared_ptr<Transfer>>;

  bool open(Wire& wire, Failure& why);
  void connect();
  void fail(const Failure& why);
  void onHandshakeFrame(Wire& wire, const FrameHeader& header, const std::vector<uint8_t>& payload);
  void ready();
  void start(const std::shared_ptr<Transfer>& transfer);
  bool isFatal(Code code) const;
  void onMapped(const FrameHeader& header, std::vector<UniqueFd> fds);
  void onFailed(const FrameHeader& header, const std::vector<uint8_t>& payload);
  void onPushDone(const FrameHeader& header, const std::vector<uint8_t>& payload);
  void request(Transfer& transfer, uint32_t chunk);
  void settle(const std::shared_ptr<Transfer>& transfer, Failure why);
  void sendNotice(uint32_t sequence, Notice& notice);
  uint32_t forget(uint64_t transfer, uint32_t chunk);
  Wire& wireOf(const Connection& connection) { return data_.connection.get() == &connection ? data_ : control_; }
  bool usesData() const { return key_.kind != TransportKind::Shm; }

  IoContext& io_;
  const PeerKey key_;
  const Address address_;
  State state_ = State::Idle;
  bool was_ready_ = false, stalled_ = false;
  Wire control_, data_;
  int64_t retry_at_ = 0, handshake_by_ = 0, renew_at_ = 0;
  uint32_t failures_ = 0;
  std::minstd_rand jitter_{std::random_device{}()};
  Transfers transfers_, pushes_;
  std::unordered_map<uint64_t, std::vector<uint8_t>> push_orders_;
  /** Shared memory: those that no worker has. */
  std::vector<std::shared_ptr<Transfer>> detached_;
  std::deque<uint64_t> turn_;
  std::map<std::pair<uint64_t, uint32_t>, uint32_t> outstanding_;
  uint64_t outstanding_bytes_ = 0;
  std::map<uint32_t, ShmSource> maps_;
  std::map<uint32_t, Notice> notices_;
};

} // namespace dynamo_labs::transfer
