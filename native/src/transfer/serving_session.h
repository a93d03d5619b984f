#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <set>

#include "io_context.h"
#include "io_loop.h"
#include "push_order.h"
#include "socket.h"

namespace dynamo_labs::transfer {

/** Notifications by sender, so that one which is sent again after a lost acknowledgement is delivered once. */
class NotificationLog {
public:
  /** False for one that was seen before. Remembers the last 4,096 of each sender. */
  bool first(uint64_t sender_epoch, uint32_t sequence);

private:
  std::map<uint64_t, std::set<uint32_t>> seen_;
};

/**
 * The owner's end of one connection: lets the peer prove itself, then serves what its grants cover. Begins on the IO thread; a data connection moves to
 * a bulk thread when its peer has proved itself.
 */
class ServingSession : public ConnectionHandler, public LoopMember {
public:
  ServingSession(IoContext& io, NotificationLog& log, std::unique_ptr<ByteStream> stream, const Address& at, FaultPlan* faults);
  ~ServingSession() override;
  bool closed() const { return !connection_ || !connection_->open(); }
  bool welcome() const { return welcome_; }
  void onAdopted() override { connection_->arrive(); }
  int64_t tick(int64_t now) override;
  bool over() const override { return closed(); }
  bool busy() const override { return pending_bytes_ > 0 || !connection_->idle(); }
  void close(const Failure& why);
  /** Answers a push; false if the writer is gone. */
  void answerPush(uint64_t transfer, const TransferResult& result);

  void onFrame(Connection&, const FrameHeader& header, const std::vector<uint8_t>& payload, std::vector<UniqueFd> fds) override;
  void onDrained(Connection&) override;
  void onExpireFault() override;
  void onClosed(Connection&, const Failure& why) override;

private:
  struct Pending {
    FrameHeader header;
    std::vector<Range> ranges;
    uint32_t pool, bytes;
    bool delayed = false; ///< by a fault, once
  };
  struct Prepared {
    FrameHeader header;
    std::vector<iovec> pieces;
    std::shared_ptr<const void> keep;
  };
  void onHello(const std::vector<uint8_t>& payload);
  void onMap(const FrameHeader& header);
  void onRequest(const FrameHeader& header, const std::vector<uint8_t>& payload);
  void onNotify(const FrameHeader& header, const std::vector<uint8_t>& payload);
  void onPush(const FrameHeader& header, const std::vector<uint8_t>& payload);
  static void moveToBulk(IoContext& io, ServingSession* session);
  void refuse(Code code, const std::string& reason);
  void sendFailed(const FrameHeader& request, const Failure& why);
  bool prepare(const Pending& request, Prepared& out);
  void sendPrepared(Prepared prepared);

  IoContext& io_;
  NotificationLog& log_;
  FaultPlan* faults_;
  bool local_, welcome_ = false, refused_ = false;
  int64_t hello_by_, not_before_ = 0;
  Challenge challenge_;
  Hello hello_;
  std::deque<Pending> pending_;
  uint64_t pending_bytes_ = 0;
  std::optional<Prepared> held_back_;
  std::unique_ptr<Connection> connection_;
  /** Cleared when this session ends; answers that come later find nobody. */
  std::shared_ptr<ServingSession*> self_ = std::make_shared<ServingSession*>(this);
};

} // namespace dynamo_labs::transfer
