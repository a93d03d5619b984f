#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace dynamo_labs::transfer {

enum class FaultKind : uint8_t {
  Reset,            // the connection is reset (on shared memory: the owner counts as lost)
  HalfClose,        // no more bytes in this direction
  Truncate,         // closed in an orderly way in the middle of a frame
  Stall,            // nothing moves for `ms`
  Rate,             // from there on at most `bytes_per_second`
  Delay,            // each of the next `times` chunks waits `ms`
  Flip,             // one bit of a chunk
  Duplicate,        // a chunk arrives twice
  Reorder,          // a chunk arrives after its successor
  DropNotification, // a notification is lost on its way
  Refuse,           // a new connection is refused
  WrongEpoch,       // the owner says that it is another process
  Expire,           // every grant of the owner ends
  Kill,             // SIGKILL for this process, or for `pid`
};
constexpr uint8_t kFaultKinds = 14;
const char* name(FaultKind kind);
bool parseFaultKind(const std::string& text, FaultKind& out);

/** Read = where chunks arrive, Serve = where they are sent. */
enum class FaultSide : uint8_t { Read, Serve };

struct FaultSpec {
  FaultKind kind = FaultKind::Reset;
  FaultSide side = FaultSide::Serve;
  /** Payload bytes that pass this side first. */
  uint64_t after_bytes = 0;
  /** Plus a number below this, drawn from the seed. */
  uint64_t within_bytes = 0;
  uint32_t times = 1;
  int64_t ms = 0;
  uint64_t bytes_per_second = 0;
  int64_t pid = 0;
};

/** Written when a fault has had its effect, not when it was planned. */
struct FaultReport {
  FaultKind kind;
  FaultSide side;
  uint64_t at_byte;
};

/** What is to happen next on a side: `allowed` bytes pass, then `fault` (if any) is due. */
struct FaultStep {
  uint64_t allowed = 0;
  const FaultSpec* fault = nullptr;
};

/** The schedule of one agent. The same seed and traffic give the same faults. Thread contract: any thread. */
class FaultPlan {
public:
  FaultPlan(std::vector<FaultSpec> specs, uint64_t seed);
  /** Counts up to `bytes` on the side and stops at the first fault that concerns moving bytes. */
  FaultStep pass(FaultSide side, uint64_t bytes);
  /** Takes a fault of this kind that is due now, if there is one, and reports it. */
  std::optional<FaultSpec> take(FaultKind kind, FaultSide side);
  /** Says that a fault which pass() returned has been carried out. */
  void report(const FaultSpec& spec);
  uint64_t draw();
  /** Bytes a second that a side may move since its fault `rate` was carried out, over all connections; 0 = as many as it likes. */
  uint64_t rate(FaultSide side) const { return rate_[static_cast<size_t>(side)].load(std::memory_order_relaxed); }
  /** Takes so many of them: when (nowNs clock) the next ones may move. */
  int64_t pace(FaultSide side, uint64_t bytes);
  std::vector<FaultReport> reports() const;

private:
  struct Planned {
    FaultSpec spec;
    uint64_t at;
    uint32_t left;
  };
  mutable std::mutex mutex_;
  std::mt19937_64 random_;
  std::vector<Planned> planned_;
  uint64_t moved_[2] = {0, 0};
  std::atomic<uint64_t> rate_[2] = {0, 0};
  int64_t free_at_[2] = {0, 0};
  std::vector<FaultReport> reports_;
};

} // namespace dynamo_labs::transfer
