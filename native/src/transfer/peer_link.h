#pragma once
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <unordered_map>

#include "reader_lane.h"
#include "shm_copy.h"
#include "socket.h"

namespace dynamo_labs::transfer {

/**
 * The reader's end towards one peer over one transport: a control connection and, for sockets, lanes of its own for the bulk, so that heartbeats and
 * notifications never wait behind it. All of them are up or none: where one is lost, all are dialled again. IO thread only.
 */
class PeerLink : public ConnectionHandler, public LaneOwner {
public:
  PeerLink(IoContext& io, PeerKey key, Address address);
  void add(std::shared_ptr<Transfer> transfer);
  /** Takes it off, whatever its state: nothing of it is asked for any more. Whoever is touching its memory learns from the transfer that it has ended. */
  void drop(const std::shared_ptr<Transfer>& transfer);
  /** After the data; delivered once, sent until it is acknowledged. */
  void notify(const std::string& payload, uint64_t released_grant);
  void push(std::shared_ptr<Transfer> transfer, std::vector<uint8_t> order);
  /** The copy workers found the owner out of reach. */
  void lost(const std::shared_ptr<Transfer>& transfer);
  int64_t tick(int64_t now);
  /** Once no other thread is left. */
  void close();
  /** For reads on other threads: the mapped pool, if there is one. */
  std::function<void(uint32_t pool, const ShmSource&)> on_mapped;
  const PeerKey& key() const { return key_; }

  void onFrame(Connection&, const FrameHeader& header, const std::vector<uint8_t>& payload, std::vector<UniqueFd> fds) override;
  void onClosed(Connection&, const Failure& why) override;
  void onLaneWelcome(const ReaderLane& lane) override;
  void onLaneClosed(const ReaderLane& lane, const Failure& why) override;

private:
  enum class State : uint8_t { Idle, Connecting, Ready, Waiting };
  struct Notice {
    std::string payload;
    uint64_t grant;
    int64_t resend_at;
    uint32_t tries = 0;
  };
  using Transfers = std::unordered_map<uint64_t, std::shared_ptr<Transfer>>;

  void connect();
  void fail(const Failure& why);
  bool isLane(const ReaderLane& lane) const;
  /** Ready once everybody is welcome. */
  void welcomed();
  void start(const std::shared_ptr<Transfer>& transfer);
  bool isFatal(Code code) const;
  void onMapped(const FrameHeader& header, std::vector<UniqueFd> fds);
  void onFailed(const FrameHeader& header, const std::vector<uint8_t>& payload);
  void onPushDone(const FrameHeader& header, const std::vector<uint8_t>& payload);
  void settle(const std::shared_ptr<Transfer>& transfer, Failure why);
  void sendNotice(uint32_t sequence, Notice& notice);
  bool usesLanes() const { return key_.kind != TransportKind::Shm; }
  /** UCX lives on the IO thread, where one connection does as well as several. */
  size_t laneCount() const { return !usesLanes() ? 0 : key_.kind == TransportKind::Ucx ? 1 : io_.bulk.count(); }
  /** It is neither complete nor in the hands of whoever settles it. */
  bool isUnderWay(const Transfer& transfer) const { return !usesLanes() || wanted_.holds(transfer.id); }

  IoContext& io_;
  const PeerKey key_;
  const Address address_;
  State state_ = State::Idle;
  bool was_ready_ = false;
  std::unique_ptr<Connection> control_;
  std::optional<ReaderHandshake> handshake_;
  WantedChunks wanted_;
  std::vector<std::shared_ptr<ReaderLane>> lanes_;
  size_t lanes_welcome_ = 0, next_lane_ = 0;
  int64_t retry_at_ = 0, handshake_by_ = 0, renew_at_ = 0;
  uint32_t failures_ = 0;
  std::minstd_rand jitter_{std::random_device{}()};
  Transfers transfers_, pushes_;
  std::unordered_map<uint64_t, std::vector<uint8_t>> push_orders_;
  /** Shared memory: those that no worker has. */
  std::vector<std::shared_ptr<Transfer>> detached_;
  std::map<uint32_t, ShmSource> maps_;
  std::map<uint32_t, Notice> notices_;
};

} // namespace dynamo_labs::transfer
