#include "fault_plan.h"

#include <algorithm>

#include "monotonic.h"

namespace dynamo_labs::transfer {

namespace {

constexpr const char* kNames[kFaultKinds] = {"reset",   "half_close", "truncate",          "stall",  "rate",        "delay",  "flip",
                                             "duplicate", "reorder",  "drop_notification", "refuse", "wrong_epoch", "expire", "kill"};

/** Those that interrupt a stream of bytes; the others concern a whole frame and are asked for by name. */
bool concernsBytes(FaultKind kind) {
  return kind == FaultKind::Reset || kind == FaultKind::HalfClose || kind == FaultKind::Truncate || kind == FaultKind::Stall || kind == FaultKind::Rate ||
         kind == FaultKind::Expire || kind == FaultKind::Kill;
}

} // namespace

const char* name(FaultKind kind) { return kNames[static_cast<size_t>(kind)]; }

bool parseFaultKind(const std::string& text, FaultKind& out) {
  for (uint8_t i = 0; i < kFaultKinds; i++) {
    if (text != kNames[i]) continue;
    out = static_cast<FaultKind>(i);
    return true;
  }
  return false;
}

FaultPlan::FaultPlan(std::vector<FaultSpec> specs, uint64_t seed) : random_(seed) {
  for (const FaultSpec& spec : specs) planned_.push_back({spec, spec.after_bytes + (spec.within_bytes ? random_() % spec.within_bytes : 0), spec.times});
}

FaultStep FaultPlan::pass(FaultSide side, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  uint64_t& moved = moved_[static_cast<size_t>(side)];
  Planned* first = nullptr;
  for (Planned& planned : planned_) {
    if (planned.left == 0 || planned.spec.side != side || !concernsBytes(planned.spec.kind) || planned.at > moved + bytes) continue;
    if (!first || planned.at < first->at) first = &planned;
  }
  if (!first) {
    moved += bytes;
    return {bytes, nullptr};
  }
  const uint64_t allowed = first->at > moved ? first->at - moved : 0;
  moved += allowed;
  first->left--;
  first->at = moved + first->spec.after_bytes + (first->spec.within_bytes ? random_() % first->spec.within_bytes : 0);
  return {allowed, &first->spec};
}

std::optional<FaultSpec> FaultPlan::take(FaultKind kind, FaultSide side) {
  const std::lock_guard lock(mutex_);
  for (Planned& planned : planned_) {
    if (planned.left == 0 || planned.spec.kind != kind || planned.spec.side != side || planned.at > moved_[static_cast<size_t>(side)]) continue;
    planned.left--;
    reports_.push_back({kind, side, moved_[static_cast<size_t>(side)]});
    return planned.spec;
  }
  return std::nullopt;
}

void FaultPlan::report(const FaultSpec& spec) {
  const std::lock_guard lock(mutex_);
  reports_.push_back({spec.kind, spec.side, moved_[static_cast<size_t>(spec.side)]});
  if (spec.kind == FaultKind::Rate) rate_[static_cast<size_t>(spec.side)] = std::max<uint64_t>(spec.bytes_per_second, 1);
}

int64_t FaultPlan::pace(FaultSide side, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  int64_t& free_at = free_at_[static_cast<size_t>(side)];
  free_at = std::max(free_at, nowNs()) + static_cast<int64_t>(bytes * 1'000'000'000 / rate(side));
  return free_at;
}

uint64_t FaultPlan::draw() {
  const std::lock_guard lock(mutex_);
  return random_();
}

std::vector<FaultReport> FaultPlan::reports() const {
  const std::lock_guard lock(mutex_);
  return reports_;
}

} // namespace dynamo_labs::transfer
