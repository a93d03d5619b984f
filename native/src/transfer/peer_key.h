#pragma once
#include <compare>
#include <cstdint>
#include <string>

#include "status.h"

namespace dynamo_labs::transfer {

/** A peer over one transport. */
struct PeerKey {
  std::string name;
  uint64_t epoch = 0;
  TransportKind kind = TransportKind::None;
  std::string address;
  auto operator<=>(const PeerKey&) const = default;
};

} // namespace dynamo_labs::transfer
