#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "chunk_plan.h"
#include "grant_table.h"

namespace dynamo_labs::transfer {

/** A write: the target is asked to read `pieces` (remote = writer's pool, local = target's) from the writer. So done means verified at the target. */
struct PushOrder {
  std::string writer;
  uint64_t writer_epoch = 0;
  std::vector<std::string> addresses;
  GrantRef source;
  /** The target's grant that allows it. */
  uint64_t target_grant = 0;
  uint32_t deadline_ms = 0;
  bool verify = true;
  std::string notification;
  std::vector<Piece> pieces;
  /** Set by the target: how the answer gets back. */
  std::function<void(const struct TransferResult&)> answer;
};

std::vector<uint8_t> encode(const PushOrder& order);
std::optional<PushOrder> decodePushOrder(const uint8_t* data, size_t bytes);

} // namespace dynamo_labs::transfer
