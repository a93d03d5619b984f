#pragma once
#include <memory>
#include <mutex>

#include "io_context.h"
#include "reader_handshake.h"
#include "wanted_chunks.h"

namespace dynamo_labs::transfer {

class ReaderLane;

/** Who opened a lane. Told on the IO thread, and also of lanes that it has shut meanwhile. */
class LaneOwner {
public:
  virtual ~LaneOwner() = default;
  virtual void onLaneWelcome(const ReaderLane& lane) = 0;
  virtual void onLaneClosed(const ReaderLane& lane, const Failure& why) = 0;
};

/**
 * One of the reader's data connections to a peer: asks for chunks while its share of the window lasts, verifies what arrives and writes it into the
 * transfers' memory. Lives on a bulk thread; the methods that follow the constructor are for any thread.
 */
class ReaderLane : public ConnectionHandler, public LoopMember, public std::enable_shared_from_this<ReaderLane> {
public:
  ReaderLane(IoContext& io, IoLoop& loop, LaneOwner& owner, WantedChunks& wanted, const PeerKey& key, const Address& address, uint64_t share);
  /** Asks for chunks from now on, and whenever there are new ones. */
  void go();
  /** Ends it. When this returns it writes to no transfer's memory any more, and what it was asked for counts as missing. */
  void shut();

  void onAdopted() override;
  int64_t tick(int64_t now) override;
  bool over() const override { return over_; }
  bool busy() const override { return owed_ > 0; }

  void onFrame(Connection& connection, const FrameHeader& header, const std::vector<uint8_t>& payload, std::vector<UniqueFd> fds) override;
  void onData(Connection& connection, const FrameHeader& header, const uint8_t* payload) override;
  void onClosed(Connection& connection, const Failure& why) override;

private:
  void tell(std::function<void(LaneOwner&)> what);
  void pump();
  void request(const WantedChunks::Ask& ask);
  /** Puts a chunk where it belongs: Right, or Unwanted where nobody may any more, or Wrong where it is not what the owner sent: then it is wiped. */
  WantedChunks::Fate store(Transfer& transfer, const FrameHeader& header, const uint8_t* payload, bool& last_out);
  void onFailed(Connection& connection, const FrameHeader& header, const std::vector<uint8_t>& payload);
  void settle(const std::shared_ptr<Transfer>& transfer, Failure why);

  IoContext& io_;
  IoLoop& loop_;
  LaneOwner& owner_;
  WantedChunks& wanted_;
  const Address address_;
  const uint64_t share_;
  ReaderHandshake handshake_;
  std::unique_ptr<Connection> connection_;
  bool going_ = false, over_ = false, stalled_ = false, starved_ = false;
  /** Bytes asked for and not yet arrived. */
  uint64_t owed_ = 0;
  /** Held while a transfer's memory is written. */
  std::mutex storing_;
  bool shut_ = false;
};

} // namespace dynamo_labs::transfer
