#pragma once
#include <map>
#include <thread>
#include <unordered_map>

#include "copy_workers.h"
#include "io_context.h"
#include "metadata.h"
#include "peer_link.h"
#include "serving_session.h"

namespace dynamo_labs::transfer {

struct WriteSpec {
  std::string peer;
  uint64_t peer_epoch = 0;
  std::vector<std::string> addresses;
  /** The target's writable grant. */
  GrantRef target;
  std::shared_ptr<Pool> local;
  /** `remote` in the target's pool, `local` in ours. */
  std::vector<Piece> pieces;
  std::vector<TransportKind> transports{TransportKind::Shm, TransportKind::Uds, TransportKind::Tcp};
  int64_t deadline_ms = 30'000;
  bool verify = true;
  std::string notification;
};

struct Progress {
  uint64_t bytes_done = 0, bytes = 0;
  Phase phase = Phase::Queued;
  TransportKind transport = TransportKind::None;
};

/** Failed to start: `failure` says why. */
class AgentError : public std::runtime_error {
public:
  explicit AgentError(Failure failure) : std::runtime_error(failure.message), failure(std::move(failure)) {}
  Failure failure;
};

/**
 * One process's end of all transfers. Owns one IO thread and a fixed number of copy workers and bulk threads; nothing outlives it.
 * Thread contract: public methods may be called from any thread; `wake` is called from any thread and must not call back.
 */
class Agent {
public:
  Agent(const AgentOptions& options, std::function<void()> wake);
  ~Agent();
  /** Ends everything; what was under way is reported as CLOSED. Idempotent. */
  void close();

  Metadata metadata();
  const Identity& identity() const { return io_.identity; }
  std::shared_ptr<Pool> createPool(uint64_t bytes, uint64_t block_bytes, bool prefault);
  std::shared_ptr<Pool> registerMemory(uint8_t* data, uint64_t bytes, uint64_t block_bytes, std::shared_ptr<const void> keep);
  /** Revokes its grants; readers that have it mapped get EXPIRED. */
  void dropPool(uint32_t id);
  std::shared_ptr<Pool> pool(uint32_t id) { return io_.pool(id); }

  Failure grant(const std::shared_ptr<Pool>& pool, const GrantSpec& spec, GrantRef& out);
  bool renew(uint64_t grant);
  bool revoke(uint64_t grant);
  size_t liveGrants() const { return io_.grants.live(); }

  /** The read's id. Where `immediate` is filled (its id is set), it is already over and no event follows. */
  uint64_t read(ReadSpec spec, TransferResult* immediate);
  uint64_t write(const WriteSpec& spec);
  void cancel(uint64_t transfer);
  bool progress(uint64_t transfer, Progress& out);
  void notify(const std::string& peer, uint64_t epoch, const std::vector<std::string>& addresses, const std::string& payload);

  std::vector<Event> drain() { return io_.events.drain(); }
  Metrics& metrics() { return io_.metrics; }
  std::vector<FaultReport> faultReports() const { return io_.faults ? io_.faults->reports() : std::vector<FaultReport>(); }

private:
  struct Listener : Pollable {
    Agent& agent;
    UniqueFd fd;
    Address address;
    Listener(Agent& agent, UniqueFd fd, Address address) : agent(agent), fd(std::move(fd)), address(std::move(address)) {}
    void onReady(uint32_t events) override;
  };
  using MappedKey = std::tuple<std::string, uint64_t, uint32_t>;

  void listen();
  void listenByUcx(const Address& wanted);
  void loop();
  int64_t tickAll();
  int64_t tickDeadlines(int64_t now);
  void accept(Listener& listener);
  void admit(std::unique_ptr<ByteStream> stream, const Address& at);
  void settle(const std::shared_ptr<Transfer>& transfer);
  void afterSettled(const std::shared_ptr<Transfer>& transfer, bool ok);
  void route(const std::shared_ptr<Transfer>& transfer);
  /** Takes the next transport, or ends the transfer with `why`. */
  void reroute(const std::shared_ptr<Transfer>& transfer, const Failure& why);
  /** Its current transport cannot serve it. */
  void fellBack(Transfer& transfer, const Failure& why);
  PeerLink* link(const std::string& peer, uint64_t epoch, TransportKind kind, const std::vector<std::string>& addresses);
  Failure acceptPush(PushOrder&& order);
  bool readInline(const std::shared_ptr<Transfer>& transfer, TransferResult& out);
  void checkAddresses(const std::vector<std::string>& addresses) const;
  std::shared_ptr<Transfer> enlist(ReadSpec spec);

  IoContext io_;
  NotificationLog notification_log_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  /** Those that had not proved themselves when the last one came, oldest first. */
  std::vector<std::weak_ptr<ServingSession>> strangers_;
  std::map<PeerKey, std::unique_ptr<PeerLink>> links_;
  std::unordered_map<uint64_t, PeerLink*> link_of_;
  std::unordered_map<uint64_t, std::vector<uint8_t>> push_orders_;
  int64_t next_deadline_ = kNever, grants_due_ = 0;

  std::mutex mutex_;
  std::unordered_map<uint64_t, std::shared_ptr<Transfer>> transfers_;
  std::map<MappedKey, ShmSource> mapped_;
  uint32_t nextPool();
  std::shared_ptr<Pool> enlist(std::shared_ptr<Pool> pool);
  uint64_t next_transfer_ = 1;
  uint32_t next_pool_ = 1;
  std::atomic<bool> closing_{false};
  std::unique_ptr<CopyWorkers> workers_;
  std::thread io_thread_;
};

} // namespace dynamo_labs::transfer
