#pragma once
#include <algorithm>
#include <map>
#include <memory>
#include <mutex>

#include "agent_options.h"
#include "bulk_threads.h"
#include "connection.h"
#include "event_queue.h"
#include "grant_table.h"
#include "handshake.h"
#include "metrics.h"
#include "shm_copy.h"
#include "socket_stream.h"
#include "ucx_worker.h"

namespace dynamo_labs::transfer {

struct PushOrder;

constexpr int kMaxLanes = 16;

/** What the two ends of a connection need of their agent. Everything is for the IO thread, except where the member's own type says otherwise. */
struct IoContext {
  IoContext(const AgentOptions& agent_options, std::function<void()> wake) : options(agent_options), bulk(static_cast<size_t>(std::clamp(options.lanes, 1, kMaxLanes))), events(std::move(wake)) {
    if (!options.faults.empty()) faults = std::make_unique<FaultPlan>(options.faults, options.fault_seed);
  }

  const AgentOptions options;
  Identity identity;
  std::vector<std::string> addresses;
  /** The IO thread's, and its poller. */
  IoLoop loop;
  Poller& poller = loop.poller;
  BulkThreads bulk;
  GrantTable grants;
  Metrics metrics;
  EventQueue events;
  std::unique_ptr<FaultPlan> faults;
  /** Bytes asked for and not yet arrived, over all peers. */
  std::atomic<uint64_t> outstanding{0};
  /** Connections of readers. */
  std::atomic<size_t> sessions{0};
  /** Numbers notifications over all links, so that their owner can tell a repeated one. */
  uint32_t next_notice = 1;
  std::mutex pools_mutex;
  std::map<uint32_t, std::shared_ptr<Pool>> pools;
  /** Settles a transfer that nobody works on any more. Any thread. */
  std::function<void(const std::shared_ptr<Transfer>&)> settle;
  /** Hands a transfer to the copy workers. */
  std::function<void(const std::shared_ptr<Transfer>&, ShmSource)> copy;
  /** A link gave up on a transfer over its transport: the next one, or the end. */
  std::function<void(const std::shared_ptr<Transfer>&, const Failure&)> reroute;
  /** A peer asks us to read from it. */
  std::function<Failure(PushOrder&&)> accept_push;

  /** UCX's worker, made when it is first needed; null where UCX is not installed or does not work, and `why` says so. */
  UcxWorker* ucxWorker(std::string& why);
  /** A stream to a peer, for the thread of this poller (`ucx`: the IO thread's). `err` is EINPROGRESS while it is connecting; null and errno where it cannot be. */
  std::unique_ptr<ByteStream> dial(const Address& address, Poller& of, int& err);

  std::shared_ptr<Pool> pool(uint32_t id) {
    const std::lock_guard lock(pools_mutex);
    const auto at = pools.find(id);
    return at == pools.end() ? nullptr : at->second;
  }
  void reportGrants(std::vector<GrantReport>& ended) {
    for (GrantReport& report : ended) {
      metrics.leases_ended[static_cast<size_t>(report.end)]++;
      events.push(std::move(report));
    }
    ended.clear();
  }
  /** The connection is deleted after the current round of events. */
  void bury(std::unique_ptr<Connection> connection) { graveyard.push_back(std::move(connection)); }
  std::vector<std::unique_ptr<Connection>> graveyard;

  std::unique_ptr<UcxWorker> ucx;
};

} // namespace dynamo_labs::transfer
