#include "wanted_chunks.h"

#include <algorithm>

namespace dynamo_labs::transfer {

namespace {
constexpr uint32_t kMaxChecksumFailures = 16;
}

void WantedChunks::add(const std::shared_ptr<Transfer>& transfer) {
  const std::lock_guard lock(mutex_);
  transfers_[transfer->id] = {transfer, true};
  turn_.push_back(transfer->id);
}

void WantedChunks::drop(uint64_t transfer) {
  const std::lock_guard lock(mutex_);
  transfers_.erase(transfer); // what was asked for stays outstanding until it has arrived
}

bool WantedChunks::holds(uint64_t transfer) const {
  const std::lock_guard lock(mutex_);
  return transfers_.contains(transfer);
}

void WantedChunks::open(const void* lane) {
  const std::lock_guard lock(mutex_);
  lanes_.insert(lane);
}

void WantedChunks::lost(const void* lane) {
  const std::lock_guard lock(mutex_);
  lanes_.erase(lane);
  for (auto at = asked_.begin(); at != asked_.end();) {
    if (at->second.lane != lane) {
      at++;
      continue;
    }
    settleBytes(at->second.bytes);
    missing(at->first.first, at->first.second);
    at = asked_.erase(at);
  }
}

void WantedChunks::settleBytes(uint32_t bytes) {
  asked_bytes_ -= bytes;
  all_ -= bytes;
}

void WantedChunks::missing(uint64_t transfer, uint32_t chunk) {
  const auto at = transfers_.find(transfer);
  if (at == transfers_.end()) return;
  at->second.transfer->states[chunk] = Transfer::Missing;
  at->second.transfer->cursor = std::min(at->second.transfer->cursor, chunk);
  if (!std::exchange(at->second.in_turn, true)) turn_.push_back(transfer);
}

std::optional<WantedChunks::Ask> WantedChunks::next(const void* lane, bool& full) {
  const std::lock_guard lock(mutex_);
  full = false;
  if (!lanes_.contains(lane)) return std::nullopt;
  while (!turn_.empty()) {
    const uint64_t id = turn_.front();
    const auto at = transfers_.find(id);
    if (at == transfers_.end()) {
      turn_.pop_front();
      continue;
    }
    Transfer& transfer = *at->second.transfer;
    while (transfer.cursor < transfer.states.size() && transfer.states[transfer.cursor] != Transfer::Missing) transfer.cursor++;
    if (transfer.cursor == transfer.states.size()) {
      turn_.pop_front();
      at->second.in_turn = false;
      continue;
    }
    const uint32_t chunk = transfer.cursor, bytes = transfer.plan.chunkBytes(chunk);
    if (all_.fetch_add(bytes) >= window_ && asked_bytes_ > 0) {
      all_ -= bytes;
      full = true;
      return std::nullopt;
    }
    asked_bytes_ += bytes;
    asked_[{id, chunk}] = {lane, bytes};
    transfer.states[chunk] = Transfer::Asked;
    transfer.cursor++;
    turn_.pop_front();
    turn_.push_back(id);
    return Ask{at->second.transfer, chunk, bytes};
  }
  return std::nullopt;
}

std::shared_ptr<Transfer> WantedChunks::expected(const void* lane, uint64_t transfer, uint32_t chunk) const {
  const std::lock_guard lock(mutex_);
  const auto asked = asked_.find({transfer, chunk});
  if (asked == asked_.end() || asked->second.lane != lane) return nullptr;
  const auto at = transfers_.find(transfer);
  return at == transfers_.end() ? nullptr : at->second.transfer;
}

WantedChunks::Arrival WantedChunks::arrived(const void* lane, uint64_t id, uint32_t chunk, Fate fate) {
  const std::lock_guard lock(mutex_);
  const auto asked = asked_.find({id, chunk});
  if (asked == asked_.end() || asked->second.lane != lane) return {};
  Arrival out{Effect::None, asked->second.bytes, nullptr};
  asked_.erase(asked);
  settleBytes(out.bytes);
  const auto at = transfers_.find(id);
  if (at == transfers_.end() || fate == Fate::Unwanted) return out;
  out.transfer = at->second.transfer;
  if (fate == Fate::Right) {
    out.transfer->attempts = 0;
    out.effect = out.transfer->chunkDone(chunk, out.bytes) ? Effect::Complete : Effect::Counted;
  } else if (fate == Fate::Wrong) {
    missing(id, chunk);
    out.effect = ++out.transfer->checksum_failures > kMaxChecksumFailures ? Effect::WrongTooOften : Effect::Wrong;
  }
  // Whoever settles it has it to himself.
  if (fate == Fate::Refused || out.effect == Effect::Complete || out.effect == Effect::WrongTooOften) transfers_.erase(at);
  return out;
}

} // namespace dynamo_labs::transfer
