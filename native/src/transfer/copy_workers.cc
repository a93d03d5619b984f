#include "copy_workers.h"

#include <sys/prctl.h>

namespace dynamo_labs::transfer {

namespace {
constexpr uint64_t kSlice = 1 << 20;
constexpr int kChecksumTries = 4;

const char* reason(Code code) {
  if (code == Code::Expired) return "the grant ended, or a block was withdrawn, before the chunk was read";
  if (code == Code::Checksum) return "what was written is not what was read";
  return "the chunk lies outside the owner's pool";
}
} // namespace

CopyWorkers::CopyWorkers(int threads, FaultPlan* faults, Callback settle, Callback reconnect)
    : faults_(faults), settle_(std::move(settle)), reconnect_(std::move(reconnect)) {
  for (int i = 0; i < threads; i++) threads_.emplace_back([this] { work(); });
}

CopyWorkers::~CopyWorkers() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    for (Job& job : queue_) job.transfer->stop({Code::Closed, Phase::Read, 0, "the agent was closed"});
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void CopyWorkers::add(std::shared_ptr<Transfer> transfer, ShmSource source) {
  const uint32_t generation = transfer->restart();
  const bool large = transfer->plan.bytes() > 4 * kSlice;
  {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < (large ? threads_.size() : 1); i++) queue_.push_back({transfer, source, generation});
  }
  if (large) changed_.notify_all();
  else changed_.notify_one();
}

size_t CopyWorkers::queued() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

void CopyWorkers::work() {
  prctl(PR_SET_NAME, "kv-transfer-cpy");
  for (;;) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || !queue_.empty(); });
      if (queue_.empty()) return;
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    Transfer& transfer = *job.transfer;
    if (!transfer.enter(job.generation)) continue; // it was stopped while it waited here: whoever stopped it has settled it
    const bool more = slice(job);
    const Transfer::Left left = transfer.leave();
    if (left == Transfer::Left::Settle) settle_(job.transfer);
    else if (left == Transfer::Left::Reconnect) reconnect_(job.transfer);
    else if (more) {
      const std::lock_guard lock(mutex_);
      queue_.push_back(std::move(job));
    }
  }
}

bool CopyWorkers::slice(Job& job) {
  Transfer& transfer = *job.transfer;
  const std::atomic<bool>* stop = transfer.stopFlag();
  for (uint64_t bytes = 0; bytes < kSlice;) {
    if (transfer.stopping() || transfer.lost()) return false;
    const uint32_t chunk = transfer.next_chunk.fetch_add(1);
    if (chunk >= transfer.plan.chunks()) return false;
    if (transfer.states[chunk] == Transfer::Done) continue;
    Code code = Code::Checksum;
    for (int attempt = 0; code == Code::Checksum && attempt < kChecksumTries; attempt++) {
      if (attempt > 0) transfer.checksum_failures++;
      code = copyChunk(job.source, transfer.spec.grant, *transfer.spec.local, transfer.plan.begin(chunk), transfer.plan.end(chunk), transfer.spec.verify, faults_, stop);
    }
    if (code == Code::RemoteDisconnect) return transfer.lose(), false;
    if (code != Code::Ok) return transfer.stop({code, Phase::Read, 0, reason(code)}), false;
    const uint32_t size = transfer.plan.chunkBytes(chunk);
    bytes += size;
    if (transfer.chunkDone(chunk, size)) return false;
  }
  return true;
}

} // namespace dynamo_labs::transfer
