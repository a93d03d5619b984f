// What the fault decorator does to a stream of bytes. Without a plan none of this runs.
#include <csignal>

#include "connection.h"
#include "monotonic.h"

namespace dynamo_labs::transfer {

size_t Connection::faultLimit(size_t bytes) {
  if (const uint64_t rate = faults_->rate(side_); rate > 0) {
    // Slices of 10 ms; the pause after each makes the rate.
    bytes = std::min<size_t>(bytes, std::max<uint64_t>(rate / 100, 1));
    paused_until_ = faults_->pace(side_, bytes);
  }
  // What was allowed and did not move (the socket was empty or full) is still allowed: a planned fault is never skipped.
  if (fault_allowance_ == 0 && !due_) {
    const FaultStep step = faults_->pass(side_, bytes);
    due_ = step.fault;
    fault_allowance_ = step.allowed;
  }
  return std::min(bytes, fault_allowance_);
}

void Connection::carryOut() {
  const FaultSpec* fault = due_;
  due_ = nullptr;
  if (!fault || !stream_) return;
  faults_->report(*fault);
  switch (fault->kind) {
  case FaultKind::Reset:
    stream_->resetWhenClosed();
    return close({Code::RemoteDisconnect, Phase::Read, 0, "fault: reset"});
  case FaultKind::Truncate: return close({Code::RemoteDisconnect, Phase::Read, 0, "fault: truncated"});
  case FaultKind::HalfClose:
    if (!stream_->endWrites()) return close({Code::RemoteDisconnect, Phase::Read, 0, "fault: half closed"});
    writes_ended_ = true;
    return watch();
  case FaultKind::Stall: paused_until_ = nowNs() + fault->ms * kMs; return watch();
  case FaultKind::Rate: return; // the plan has it: all connections share it
  case FaultKind::Kill: kill(fault->pid > 0 ? static_cast<pid_t>(fault->pid) : getpid(), SIGKILL); return;
  case FaultKind::Expire: return handler_.onExpireFault();
  case FaultKind::Delay:
  case FaultKind::Flip:
  case FaultKind::Duplicate:
  case FaultKind::Reorder:
  case FaultKind::DropNotification:
  case FaultKind::Refuse:
  case FaultKind::WrongEpoch: return; // concern a whole frame; their place is where frames are made
  }
}

} // namespace dynamo_labs::transfer
