#include "grant_table.h"

#include <algorithm>
#include <random>

#include "monotonic.h"

namespace dynamo_labs::transfer {

const char* name(GrantEnd end) {
  switch (end) {
  case GrantEnd::Released: return "released";
  case GrantEnd::Revoked: return "revoked";
  case GrantEnd::ExpiredNeverAsked: return "expired_idle";
  case GrantEnd::ExpiredInFlight: return "expired_in_flight";
  }
  return "unknown";
}

Failure GrantTable::add(const std::shared_ptr<Pool>& pool, const GrantSpec& spec, GrantRef& out) {
  uint64_t bytes = 0;
  for (const Range& range : spec.ranges) {
    if (!pool->contains(range.offset, range.length)) return {Code::InvalidParam, Phase::Queued, 0, "a range lies outside the pool"};
    bytes += range.length;
  }
  const std::lock_guard lock(mutex_);
  // Ids start at a random number, so that a grant of an earlier process is not taken for one of this.
  if (next_ == 0) next_ = (uint64_t(std::random_device{}()) << 24 | 1) & ((uint64_t(1) << 53) - 1);
  std::vector<bool>& used = slots_[pool->id()];
  used.resize(kGrantSlots, false);
  const auto free = std::find(used.begin(), used.end(), false);
  if (free == used.end()) return {Code::Admission, Phase::Queued, 0, "all grant slots of the pool are taken"};
  *free = true;
  out = {next_++, pool->id(), static_cast<uint32_t>(free - used.begin()), pool->clock()};
  const int64_t lease = spec.lease_ms * kMs;
  Grant grant{{out, spec.request_id, GrantEnd::Released, 0, bytes, 0, 0}, pool, mergeRanges(spec.ranges), lease, nowNs() + lease, spec.readers, spec.writable, false};
  pool->setSlot(out.slot, out.id);
  grants_.emplace(out.id, std::move(grant));
  return {};
}

GrantTable::Grants::iterator GrantTable::end(Grants::iterator at, GrantEnd how, std::vector<GrantReport>& ended) {
  Grant& grant = at->second;
  grant.pool->setSlot(grant.report.ref.slot, 0);
  slots_[grant.report.ref.pool][grant.report.ref.slot] = false;
  grant.report.end = how;
  ended.push_back(grant.report);
  return grants_.erase(at);
}

Failure GrantTable::find(uint64_t id, const std::vector<Range>& ranges, Grant*& out) {
  const auto at = grants_.find(id);
  if (at == grants_.end()) return {Code::Expired, Phase::Read, 0, "the grant has ended or never was"};
  Grant& grant = at->second;
  const int64_t now = nowNs();
  if (now > grant.expires) return {Code::Expired, Phase::Read, 0, "the lease ran out"};
  const PoolControl& control = grant.pool->control();
  for (const Range& range : ranges) {
    if (!covers(grant.ranges, range.offset, range.length)) return {Code::InvalidParam, Phase::Read, 0, "not within the grant"};
    if (range.length == 0) continue;
    for (uint64_t block = range.offset / control.block_bytes; block <= (range.offset + range.length - 1) / control.block_bytes; block++)
      if (control.withdrawn()[block].load() > grant.report.ref.clock) return {Code::Expired, Phase::Read, 0, "a block was withdrawn"};
  }
  grant.expires = now + grant.lease_ns;
  grant.asked = true;
  out = &grant;
  return {};
}

Failure GrantTable::check(uint64_t id, uint32_t pool, const std::vector<Range>& ranges, std::shared_ptr<Pool>& out) {
  const std::lock_guard lock(mutex_);
  Grant* grant = nullptr;
  Failure failure = find(id, ranges, grant);
  if (!failure.ok()) return failure;
  if (grant->pool->id() != pool) return {Code::InvalidParam, Phase::Read, 0, "the grant is of another pool"};
  out = grant->pool;
  return {};
}

Failure GrantTable::checkWrite(uint64_t id, const std::vector<Range>& ranges, std::shared_ptr<Pool>& out) {
  const std::lock_guard lock(mutex_);
  Grant* grant = nullptr;
  Failure failure = find(id, ranges, grant);
  if (!failure.ok()) return failure;
  if (!grant->writable) return {Code::InvalidParam, Phase::Read, 0, "the grant is for reading only"};
  out = grant->pool;
  return {};
}

void GrantTable::served(uint64_t id, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto at = grants_.find(id);
  if (at != grants_.end()) at->second.report.bytes_served += bytes;
}

bool GrantTable::renew(uint64_t id) {
  const std::lock_guard lock(mutex_);
  const auto at = grants_.find(id);
  if (at == grants_.end() || nowNs() > at->second.expires) return false;
  at->second.expires = nowNs() + at->second.lease_ns;
  at->second.asked = true;
  at->second.report.renewals++;
  return true;
}

bool GrantTable::release(uint64_t id, std::vector<GrantReport>& ended) {
  const std::lock_guard lock(mutex_);
  const auto at = grants_.find(id);
  if (at == grants_.end()) return false;
  at->second.report.releases++;
  if (at->second.readers > 0 && at->second.report.releases >= at->second.readers) end(at, GrantEnd::Released, ended);
  return true;
}

bool GrantTable::revoke(uint64_t id, std::vector<GrantReport>& ended) {
  const std::lock_guard lock(mutex_);
  const auto at = grants_.find(id);
  if (at == grants_.end()) return false;
  end(at, GrantEnd::Revoked, ended);
  return true;
}

void GrantTable::revokePool(uint32_t pool, std::vector<GrantReport>& ended) {
  const std::lock_guard lock(mutex_);
  for (auto at = grants_.begin(); at != grants_.end();) at = at->second.pool->id() == pool ? end(at, GrantEnd::Revoked, ended) : std::next(at);
}

int64_t GrantTable::expire(int64_t now, std::vector<GrantReport>& ended, bool all) {
  const std::lock_guard lock(mutex_);
  int64_t next = kNever;
  for (auto at = grants_.begin(); at != grants_.end();) {
    const Grant& grant = at->second;
    if (all || now > grant.expires) at = end(at, grant.asked ? GrantEnd::ExpiredInFlight : GrantEnd::ExpiredNeverAsked, ended);
    else next = std::min(next, (at++)->second.expires + 1);
  }
  return next;
}

size_t GrantTable::live() const {
  const std::lock_guard lock(mutex_);
  return grants_.size();
}

} // namespace dynamo_labs::transfer
