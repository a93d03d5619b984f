#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "chunk_plan.h"
#include "grant_table.h"
#include "pool.h"
#include "status.h"
#include "timeline.h"

namespace dynamo_labs::transfer {

struct ReadSpec {
  std::string peer;
  uint64_t peer_epoch = 0;
  std::vector<std::string> addresses;
  GrantRef grant;
  std::shared_ptr<Pool> local;
  std::vector<Piece> pieces;
  /** In order of preference. */
  std::vector<TransportKind> transports{TransportKind::Shm, TransportKind::Uds, TransportKind::Tcp};
  int64_t deadline_ms = 30'000;
  bool verify = true;
  /** Tell the owner that this reader is done with the grant. */
  bool release = true;
  /** Delivered to the owner after the data. */
  std::string notification;
  /** Instead of an event. */
  std::function<void(const struct TransferResult&)> on_settled;
  /** Bytes of one block, for the report of whole blocks done; 0 = not counted. */
  uint64_t block_bytes = 0;
};

struct Fallback {
  TransportKind from;
  Failure why;
};

struct TransferResult {
  uint64_t id = 0;
  Failure failure;
  std::string peer;
  TransportKind transport = TransportKind::None;
  uint64_t bytes = 0, bytes_done = 0, blocks_done = 0, resumed_bytes = 0;
  uint32_t chunks = 0, chunks_done = 0, retries = 0, checksum_failures = 0;
  size_t pieces = 0;
  int64_t duration_us = 0;
  std::vector<Fallback> fallbacks;
  std::vector<Timeline::Entry> timeline;
  uint64_t timeline_dropped = 0;
};

/**
 * One read on its way. A chunk is missing, asked for, or done (verified); only missing ones are ever asked for again.
 * Thread contract: chunk states and the cursor belong to the link's WantedChunks (sockets) or to the copy workers (shared memory, which take chunks by an
 * atomic cursor);
 * progress and stopping are for any thread. Memory is not touched any more once it has settled.
 */
class Transfer {
public:
  enum ChunkState : uint8_t { Missing, Asked, Done };

  Transfer(uint64_t id, ReadSpec spec, uint32_t chunk_bytes);

  const uint64_t id;
  const ReadSpec spec;
  const ChunkPlan plan;
  const int64_t deadline_ns;
  Timeline timeline;
  std::vector<uint8_t> states;
  /** Set by the IO thread. */
  size_t transport_at = 0;
  uint64_t resumed_bytes = 0;
  std::vector<Fallback> fallbacks;
  /** Where the next missing chunk is looked for (sockets). */
  uint32_t cursor = 0;
  std::atomic<uint32_t> next_chunk{0}, attempts{0}, retries{0}, checksum_failures{0};
  std::atomic<uint8_t> phase{static_cast<uint8_t>(Phase::Queued)};
  std::atomic<TransportKind> transport{TransportKind::None};

  void setPhase(Phase value) { phase.store(static_cast<uint8_t>(value), std::memory_order_relaxed); }
  /** A chunk arrived and was verified; true for the last one. */
  bool chunkDone(uint32_t chunk, uint64_t bytes);
  uint64_t bytesDone() const { return bytes_done_.load(std::memory_order_relaxed); }
  bool complete() const { return chunks_done_.load(std::memory_order_acquire) == plan.chunks(); }
  enum class Left : uint8_t { Continue, Settle, Reconnect };
  /** Who writes to its memory, or reads it, brackets that; the last one out learns what must happen. False: not any more. */
  bool enter();
  /** A copy worker's: work handed out before the last reconnect is refused. */
  bool enter(uint32_t generation);
  Left leave();
  /** The owner seems gone: what is missing is asked for again over a new connection. */
  void lose() { lost_ = true; }
  bool lost() const { return lost_.load(std::memory_order_relaxed); }
  /** IO thread, after Left::Reconnect: nobody is inside. Returns the new generation. */
  uint32_t restart();
  /** Asks everybody to stop, with this reason unless there is one; true if nobody is inside, so that the caller must settle. */
  bool stop(Failure why);
  bool stopping() const { return stopping_.load(std::memory_order_relaxed); }
  const std::atomic<bool>* stopFlag() const { return &stopping_; }
  /** True exactly once. */
  bool settle() { return !settled_.exchange(true); }
  bool settled() const { return settled_.load(std::memory_order_acquire); }
  TransferResult result();
  /** For what was moved by somebody else (a push): counts as all chunks done. */
  void finishRemotely();

private:
  uint64_t blocksDone() const;
  std::atomic<uint64_t> bytes_done_{0};
  std::atomic<uint32_t> chunks_done_{0};
  std::atomic<bool> stopping_{false}, settled_{false}, lost_{false}, first_byte_{false};
  std::atomic<uint32_t> generation_{0};
  std::mutex mutex_;
  uint32_t inside_ = 0;
  Failure failure_;
};

} // namespace dynamo_labs::transfer
