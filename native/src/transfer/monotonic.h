#pragma once
#include <chrono>
#include <cstdint>

namespace dynamo_labs::transfer {

/** Nanoseconds on this machine's monotonic clock. Never compared across processes: durations travel, times do not. */
inline int64_t nowNs() { return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
constexpr int64_t kMs = 1'000'000;
constexpr int64_t kNever = INT64_MAX;

} // namespace dynamo_labs::transfer
