#pragma once
#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <unordered_map>

#include "transfer.h"

namespace dynamo_labs::transfer {

/**
 * What a reader's transfers want of one peer over sockets: which chunk is to be asked for next (transfers take turns), which connection has been asked
 * for which, and the bytes that are outstanding. A chunk counts only from the connection that was asked for it, and from none that was lost.
 * Any thread.
 */
class WantedChunks {
public:
  /** `outstanding`: bytes asked for and not yet arrived over all peers of the agent; beyond `window` only who has none may ask. */
  WantedChunks(std::atomic<uint64_t>& outstanding, uint64_t window) : all_(outstanding), window_(window) {}

  struct Ask {
    std::shared_ptr<Transfer> transfer;
    uint32_t chunk = 0, bytes = 0;
  };
  /** How what was asked for ended: as it was sent, not so, not sent at all, or nobody may write it any more. */
  enum class Fate : uint8_t { Right, Wrong, Refused, Unwanted };
  enum class Effect : uint8_t { None, Counted, Complete, Wrong, WrongTooOften };
  struct Arrival {
    Effect effect = Effect::None;
    uint32_t bytes = 0;
    std::shared_ptr<Transfer> transfer;
  };

  void add(const std::shared_ptr<Transfer>& transfer);
  /** Nothing of it is asked for, nor counts, any more. */
  void drop(uint64_t transfer);
  /** Neither complete nor dropped. */
  bool holds(uint64_t transfer) const;
  void open(const void* lane);
  /** What it was asked for is missing again. */
  void lost(const void* lane);
  /** Takes the next chunk. `full` where there is one that the window does not allow. */
  std::optional<Ask> next(const void* lane, bool& full);
  /** Whose chunk this is, if this lane was asked for it and it is still wanted. */
  std::shared_ptr<Transfer> expected(const void* lane, uint64_t transfer, uint32_t chunk) const;
  /** It came, or was refused: its bytes are not outstanding any more. */
  Arrival arrived(const void* lane, uint64_t transfer, uint32_t chunk, Fate fate);

private:
  struct Wanted {
    std::shared_ptr<Transfer> transfer;
    bool in_turn = false;
  };
  struct Asked {
    const void* lane;
    uint32_t bytes;
  };
  using ChunkId = std::pair<uint64_t, uint32_t>;
  void missing(uint64_t transfer, uint32_t chunk);
  void settleBytes(uint32_t bytes);

  std::atomic<uint64_t>& all_;
  const uint64_t window_;
  mutable std::mutex mutex_;
  std::unordered_map<uint64_t, Wanted> transfers_;
  std::deque<uint64_t> turn_;
  std::map<ChunkId, Asked> asked_;
  uint64_t asked_bytes_ = 0;
  std::set<const void*> lanes_;
};

} // namespace dynamo_labs::transfer
